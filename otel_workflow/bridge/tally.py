"""Counts what waits on the disk while a backend is away, so that ``status`` need not read all of it.

A pump of its own, which delivers to nobody: what it would have sent is counted. Its
checkpoint and the counts are kept in ``waiting.json``; ``status`` reads on from there. They hold for
as long as nothing of what was counted has been delivered or has gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from otel_workflow.bridge.checkpoint import Checkpoint, CheckpointFile, mark_of
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.bridge.span_times import start_of
from otel_workflow.bridge.waiting import Counted, Waiting
from otel_workflow.journal import JournalReader, Segment

__all__ = ("WAITING", "Tally")

WAITING = "waiting.json"
_PIECE = 1024  # records; some milliseconds
_EACH = 8 * 1024 * 1024
_WORTH = 1024 * 1024


@dataclass(slots=True)
class Tally:
    """Counts a directory's waiting spans a little at a time, from where its shipper's cursor is.

    To be thrown away when that moves. ``behind`` is True until all was counted once.
    """

    directory: str | os.PathLike[str]
    destination: str
    acknowledged: Mapping[str, int]
    sent: Mapping[str, int]
    breathe: Callable[[], object]
    run_ttl_ns: int
    behind: bool = True
    _pump: Pump = field(default_factory=Pump)
    _keys: set[str] = field(default_factory=set)
    _spans: int = 0
    _oldest: int = 0
    _known: dict[str, SegmentSource] = field(default_factory=dict)
    _saved: tuple[int, list[Segment]] = (0, [])
    _reader: JournalReader = field(init=False)
    _file: CheckpointFile = field(init=False)

    def __post_init__(self) -> None:
        self._reader = JournalReader(self.directory)
        self._file = CheckpointFile(self.directory, self.destination, WAITING)
        self._pump.acknowledged.update(self.acknowledged)
        self._pump.sent_keys.update(self.sent)
        self._pump.breathe = self.breathe
        checkpoint = CheckpointFile(self.directory, self.destination).load()
        if checkpoint is not None:
            checkpoint.apply(self._pump, self._sources())

    def _sources(self) -> list[SegmentSource]:
        return sources_of(self._reader, self._known, self.destination, self.run_ttl_ns)

    def go_on(self, seconds: float) -> None:
        """Count for so long, and keep the result when it has become worth it."""
        end, sources, self.behind = time.monotonic() + seconds, self._sources(), True
        while self.behind and time.monotonic() < end:
            self._pump.read(sources, budget=_PIECE)
            self.behind = self._pump.behind
            for waiting in self._pump.waiting:
                self._count(waiting)
            self._pump.settled(list(self._pump.waiting))
        size, listed = sum(source.segment.position for source in sources), self._reader.segments()
        more = size - self._saved[0] >= (_EACH if self.behind else _WORTH)
        if more or (self._saved[0] and not self.behind and listed is not self._saved[1]):
            self._save(sources)
            self._saved = size, listed

    def drop(self) -> None:
        """Take back what was kept: it holds no more."""
        self._file.drop()

    def _count(self, waiting: Waiting) -> None:
        began = start_of(waiting.span) or time.time_ns()
        self._spans += 1
        self._oldest = min(self._oldest or began, began)
        if waiting.key:
            self._keys.add(waiting.key)

    def _save(self, sources: list[SegmentSource]) -> None:
        checkpoint = Checkpoint.of(self._pump, sources)
        if checkpoint is None:
            return
        known, counted = (
            checkpoint.known,
            Counted(mark_of(self.acknowledged), self._spans, self._oldest, frozenset(self._keys)),
        )
        files = _over(sources, checkpoint)
        rest = [source for source in sources if source.segment.file.name not in files]
        names, owners = {source.name for source in rest}, {source.owner for source in rest}
        needed = replace(
            known,
            read={name: end for name, end in known.read.items() if name in names},
            newest={owner: newest for owner, newest in known.newest.items() if owner in owners},
        )
        places = {name: place for name, place in checkpoint.places.items() if name in names}
        self._file.save(Checkpoint(needed, places, counted, files), self.breathe)


def _over(sources: list[SegmentSource], checkpoint: Checkpoint) -> dict[str, tuple[int, int]]:
    """Return the files in which nothing is open, damaged or still to come, with their sizes and how many segments."""
    unfinished = {owner for owner, _, _ in checkpoint.known.said}
    found: dict[Path, int] = {}
    others: set[Path] = set()
    for source in sources:
        segment, place = source.segment, checkpoint.places.get(source.name)
        packed = segment.file != segment.path
        ended = packed or segment.ended == "closed"
        whole = place is not None and place.position == segment.size and not (place.damaged or place.dropped)
        if ended and whole and source.owner not in unfinished:
            found[segment.file] = found.get(segment.file, 0) + 1
        else:
            others.add(segment.file)
    return {file.name: (file.lstat().st_size, count) for file, count in found.items() if file not in others}
