"""The books of a journal directory: what is in it, what still waits, what was lost; no network.

One pass over the segments with the bridge's own pump, so that what is called waiting here is
exactly what ``ship`` would send. Takes no lock and writes nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from otel_workflow.bridge.checkpoint import Checkpoint, CheckpointFile
from otel_workflow.bridge.pump import CORRECTION, Pump, Waiting
from otel_workflow.bridge.sources import SegmentSource
from otel_workflow.bridge.span_times import start_of
from otel_workflow.bridge.tally import WAITING
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, Cursor, JournalReader, Record, Segment
from otel_workflow.journal.ledger import Ledger
from otel_workflow.journal.retention import QUARANTINE, files_in

__all__ = ("Backlog", "ReadSegment", "look_at")

_STARTED = bytes([TRANSITIONS.index("started")])
_IDS = slice(4, 28)  # of an event record's head: trace id, span id


class ReadSegment(SegmentSource):
    """A segment that also remembers which phases began in it and which records were dropped.

    ``began`` holds trace id and span id as bytes: the span of a killed phase is made from its
    start, so the segment is needed until that span was sent. ``cut`` says that reading stopped
    at ``until`` (``time.monotonic``).
    """

    def __init__(self, segment: Segment, until: float = float("inf")) -> None:
        super().__init__(segment)
        self.cut = False
        self._until = until
        self.began: set[bytes] = set()

    @property
    def dropped(self) -> dict[str, int]:
        """Which records its process had dropped when it left it, by reason."""
        try:
            return {str(reason): int(count) for reason, count in json.loads(self.segment.dropped or "{}").items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        if time.monotonic() > self._until:  # not even opened
            self.cut = True
            return
        for record in super().read():
            if time.monotonic() > self._until:
                self.cut = True
                return
            if record.kind == EVENT and record.payload[1:2] == _STARTED:
                self.began.add(record.payload[_IDS])
            yield record


@dataclass(slots=True)
class Backlog:
    """What one look found. ``complete`` is False when time ran out; then the counts are lower bounds.

    ``oldest_ns`` is when the oldest waiting span began (ns since the epoch), None when none waits.
    """

    sources: list[ReadSegment] = field(default_factory=list)
    segments: int = 0
    quarantined: dict[str, str] = field(default_factory=dict)
    waiting: int = 0
    oldest_ns: int | None = None
    open_phases: int = 0
    open_runs: set[str] = field(default_factory=set)
    kept_back: set[str] = field(default_factory=set)
    evicted: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    late_verdicts: int = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Dropped records by reason: by their writers, each one's last word, since its counts only grow; by upkeep."""
        last = {source.owner: source.dropped for source in self.sources if source.segment.dropped}
        total = dict(self.evicted)
        for counts in last.values():
            for reason, count in counts.items():
                total[reason] = total.get(reason, 0) + count
        return total


def look_at(
    directory: str | os.PathLike[str],
    destination: str | None = None,
    budget: float = float("inf"),
    *,
    counted: bool = False,
) -> Backlog:
    """Read the directory's unretired segments, within ``budget`` seconds.

    ``counted`` takes from a shipper what it has counted already; ``kept_back`` is then not known.

    With a destination key, spans recorded for another one are not counted as waiting. Raises
    JournalError (OW-202) when the directory cannot be read.
    """
    until, pump, found = time.monotonic() + budget, Pump(), Backlog()
    saved = Cursor(directory, "traces").load()
    pump.acknowledged.update(saved.get("acknowledged", {}))
    pump.sent_keys.update(saved.get("sent", {}))
    tally = CheckpointFile(directory, destination, WAITING).load() if counted else None
    opened = None if tally is None else _beside_what_was_counted(directory, pump, tally, until)
    if opened is None:
        tally, opened = None, _everything(directory, pump, until)
    reader, found.sources = opened
    found.segments = reader.names if reader.cut else len(found.sources)
    found.quarantined = {**dict.fromkeys(_set_aside(reader.directory), "set aside"), **reader.quarantined}
    found.evicted = Ledger(directory).dropped
    ours = [s for s in found.sources if destination in (None, s.header.get("destination") or destination)]
    pump.read(ours, force=True)  # all at once: a sealed segment alone would look like a dead process's
    found.complete = not reader.cut and not any(source.cut for source in ours)
    found.waiting = sum(found.complete or not waiting.key for waiting in pump.waiting)
    found.late_verdicts = pump.late_verdicts + sum(key.endswith(CORRECTION) for key in pump.sent_keys)
    found.oldest_ns = min((start_of(each.span) or time.time_ns() for each in pump.waiting), default=None)
    _add_counted(found, tally)
    found.open_phases = len(pump.store.phases)
    found.open_runs = {trace_id for trace_id, _ in pump.store.phases}
    interrupted = {bytes.fromhex(waiting.key.replace(":", "")) for waiting in pump.waiting if _is_phase(waiting)}
    found.kept_back = {
        source.name for source in found.sources if source.began & interrupted or not pump.is_done_with(source)
    }
    return found


_Opened = tuple[JournalReader, list[ReadSegment]]


def _everything(directory: str | os.PathLike[str], pump: Pump, until: float) -> _Opened:
    """Open all segments, to be read from where a shipper's checkpoint says."""
    reader = JournalReader(directory, until=(time.monotonic() + until) / 2)
    sources = [ReadSegment(segment, until) for segment in reader.segments()]
    _go_on(pump, sources, CheckpointFile(directory).load())
    return reader, sources


def _beside_what_was_counted(
    directory: str | os.PathLike[str], pump: Pump, tally: Checkpoint, until: float
) -> _Opened | None:
    """Open only segments in which something may be new; None where what was counted holds no more."""
    if not tally.holds(pump):
        return None
    sizes = {name: size for name, (size, _) in tally.files.items()}
    reader = JournalReader(directory, until=(time.monotonic() + until) / 2, passed=sizes)
    sources = [ReadSegment(segment, until) for segment in reader.segments()]
    whole = reader.passed_here == tally.files.keys() and tally.apply_counted(pump, sources)
    return (reader, sources) if whole else None


def _add_counted(found: Backlog, tally: Checkpoint | None) -> None:
    if tally is None or tally.counted is None:
        return
    found.segments += sum(count for _, count in tally.files.values())
    found.waiting += tally.counted.spans
    began = [ns for ns in (found.oldest_ns, tally.counted.oldest_ns) if ns]
    found.oldest_ns = min(began, default=None)


def _go_on(pump: Pump, sources: list[ReadSegment], checkpoint: Checkpoint | None) -> None:
    """Leave out what a shipper has read and delivered, but for what it says of phases that are open."""
    if checkpoint is not None and checkpoint.apply(pump, sources):
        named = {source.name: source for source in sources}
        for _, name, payload in checkpoint.known.said:
            if name in named and payload[1:2] == _STARTED:
                named[name].began.add(payload[_IDS])


def _set_aside(directory: Path) -> list[str]:
    return sorted(path.name for path, _ in files_in(directory / QUARANTINE))


def _is_phase(waiting: Waiting) -> bool:
    """True for an interrupted phase; a marker is no loss, and a correction has a record of its own."""
    return bool(waiting.key) and not waiting.key.endswith((":marker", CORRECTION))
