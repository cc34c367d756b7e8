"""A journal directory as a spring of facts: the same fold and the same finality as for spans.

An end counts when it is read. An interrupted phase counts when nothing can change it any more: its
run has ended, its run's process is dead too, or the verdict grace is over (``bridge/pump.py`` sends
its span by the same rule).

Positions by segment are committed with what they stand for. After a restart all segments that may
still matter are read again, to know what is open, and what lies before the position is not told
again. A segment is *done* when its process is dead and nothing that it began is open; then its
position is its size, negative, and it is not read again unless it grows.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from otel_workflow.bridge.metrics.facts import Began, Finished, began_of, finished_of
from otel_workflow.bridge.sources import SegmentSource
from otel_workflow.bridge.span_times import recorded_end
from otel_workflow.bridge.waiting import Source
from otel_workflow.errors import DecodeError, JournalError
from otel_workflow.events import END_TRANSITIONS, Event
from otel_workflow.journal import EVENT, SPAN, JournalReader, Record, Segment
from otel_workflow.journal.reader import RETIRED
from otel_workflow.journal.record import decode_event
from otel_workflow.runs import PhaseRun, RunStore

__all__ = ("BUCKETS", "JournalSpring", "Listener", "bucketed")

BUCKETS = 64
GRACE_NS = 30_000_000_000
_ENDED_KEPT = 20_000
_SETTLED_NS = 2_000_000_000  # a directory's time is that of the last tick: what came in the same one cannot be told


class Listener(Protocol):
    """Who is told what a journal says."""

    def began(self, fact: Began) -> None:
        """Take a start."""
        ...

    def finished(self, fact: Finished) -> object:
        """Take an end."""
        ...

    def is_here(self, trace_id: str) -> None:
        """Take note of a run that this journal judges, also one that was told before a restart."""
        ...


class JournalSpring:
    """Reads one directory; ``read`` as often as wanted, ``positions`` to be committed afterwards."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        positions: Mapping[str, int] | None = None,
        now: Callable[[], int] = time.time_ns,
        run_ttl: float = 86_400.0,
    ) -> None:
        self.directory = Path(directory)
        self.trouble = ""
        self.unparsed = 0
        self._now = now
        self._run_ttl_ns = round(run_ttl * 1e9)
        self._told = dict(positions or {})
        self._reader = JournalReader(directory, retired=True)
        self._sources: dict[str, SegmentSource] = {}
        self._seen = (0, 0)
        self._owners: dict[str, SegmentSource] = {}
        self._done: dict[str, int] = {}
        self._store = RunStore()
        self._roots: dict[str, PhaseRun] = {}
        self._began_in: dict[tuple[str, str], str] = {}
        self._ended: dict[tuple[str, str], None] = {}
        self._last_events: dict[str, int] = {}
        self._last_spans: dict[str, bytes] = {}

    def read(self, listener: Listener, room: int = 2_000) -> int:
        """Tell what is new, at most about ``room`` records of it; returns how many were read."""
        count = 0
        for source in self._look():
            for record in source.read():
                count += 1
                self._take(source, record, listener)
                if count >= room:
                    return count
        self._close_the_dead(listener)
        self._finish_segments(listener)
        return count

    def positions(self) -> dict[str, int]:
        """Return how far each segment has been told; negative where nothing more can come of it."""
        told = {name: max(source.segment.position, self._told.get(name, 0)) for name, source in self._sources.items()}
        return told | {name: -size for name, size in self._done.items()}

    def passed(self) -> dict[str, int]:
        """Return how far each segment is not needed any more: all of it was told, and nothing in it is open."""
        needed = set(self._began_in.values())
        sealed = {
            name: source.segment.position
            for name, source in self._sources.items()
            if name not in needed and source.segment.ended == "sealed"
        }
        return sealed | self._done

    # -- segments -----------------------------------------------------------------------------

    def _look(self) -> Sequence[Source]:
        """Return the sources that may have something new; the directory is listed only when it has changed."""
        seen = _changed_ns(self.directory), _changed_ns(self.directory / RETIRED)
        if seen != self._seen or time.time_ns() - max(seen) < _SETTLED_NS:
            self._list()
            self._seen = seen
        return list(self._sources.values())

    def _list(self) -> None:
        try:
            segments = self._segments()
        except JournalError as error:
            self.trouble = str(error)
            return
        self.trouble = ""
        found: dict[str, SegmentSource] = {}
        for segment in segments:
            name = segment.path.name
            if name not in found and not self._is_done(name, segment.size):
                found[name] = self._source(segment)
                self._owners[segment.owner] = found[name]
        self._sources = found
        present = {segment.path.name for segment in segments}
        self._done = {name: size for name, size in self._done.items() if name in present}

    def _segments(self) -> Sequence[Segment]:
        """Return the segments that are ours to count; raises JournalError when the directory cannot be read."""
        return self._reader.segments()

    def _source(self, segment: Segment) -> SegmentSource:
        """Return the source of a segment: the one it was before it moved, or was put into a pack."""
        source = self._sources.get(segment.path.name)
        if source is None:
            return SegmentSource(segment, self._run_ttl_ns)
        if source.segment is not segment:
            segment.position = max(segment.position, source.segment.position)
            segment.last_ns = max(segment.last_ns, source.segment.last_ns)
            source.segment = segment
        return source

    def _is_done(self, name: str, size: int) -> bool:
        done = self._done.get(name) or max(-self._told.get(name, 0), 0)
        if size and size == done:
            self._done[name] = size
            return True
        self._done.pop(name, None)
        return False

    def _finish_segments(self, listener: Listener) -> None:
        """Stop reading segments of which nothing more can come."""
        busy = {phase.owner for phase in self._store.phases.values()}
        gone = {owner for owner, newest in self._owners.items() if owner not in busy and not newest.is_alive()}
        for name, source in list(self._sources.items()):
            size = source.segment.size
            if source.owner not in gone or not size or self._drain(source, listener):
                continue
            self._done[name] = size
            del self._sources[name]
        kept = {source.owner for source in self._sources.values()}
        for known in (self._owners, self._last_events, self._last_spans):
            for owner in [owner for owner in known if owner not in kept]:
                del known[owner]

    def _drain(self, source: SegmentSource, listener: Listener) -> int:
        """Read what an owner wrote between our reading and its death; returns how many records."""
        count = 0
        for record in source.read():
            count += 1
            self._take(source, record, listener)
        return count

    # -- records ------------------------------------------------------------------------------

    def _take(self, source: Source, record: Record, listener: Listener) -> None:
        if record.kind == SPAN:
            self._last_spans[source.owner] = record.payload
        if record.kind != EVENT:
            return
        try:
            event = decode_event(record.payload)
        except DecodeError:
            self.unparsed += 1
            return
        source.note(event.time_ns)
        self._last_events[source.owner] = event.time_ns
        if event.span is not None:
            told = record.end <= self._told.get(source.name, 0)
            self._merge(event, (event.span.trace_id, event.span.span_id), source, listener, told=told)

    def _merge(self, event: Event, key: tuple[str, str], source: Source, listener: Listener, *, told: bool) -> None:
        """Merge an event of a phase and tell what came of it, unless that was told before a restart."""
        ends = event.transition in END_TRANSITIONS
        if key in self._ended:  # from another thread, a moment late: it must not open the phase again
            if ends and not told:
                self._tell_late(event, source.owner, listener)
            return
        phase = self._store.add(event, source.owner)
        if phase is None:
            return
        self._began_in.setdefault(key, source.name)
        if phase.facts.is_run and not phase.facts.nested:
            self._roots[phase.trace_id] = phase
            listener.is_here(phase.trace_id)
        began = began_of(phase) if event.transition == "started" and not told else None
        if began is not None:
            listener.began(began)
        if ends:
            self._emit(phase, listener, told=told)

    def _tell_late(self, event: Event, owner: str, listener: Listener) -> None:
        """Tell an end of what was told to have ended: the writer knows whether that had been inferred."""
        phase = RunStore().add(event, owner)
        fact = finished_of(phase) if phase is not None else None
        if fact is not None:
            listener.finished(fact)

    def _emit(self, phase: PhaseRun, listener: Listener, *, told: bool = False) -> None:
        fact = finished_of(phase)
        if fact is not None and not told:
            listener.finished(fact)
        self._store.discard(phase)
        self._began_in.pop((phase.trace_id, phase.span_id), None)
        self._ended[phase.trace_id, phase.span_id] = None
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    # -- deaths -------------------------------------------------------------------------------

    def _close_the_dead(self, listener: Listener) -> None:
        for owner in {phase.owner for phase in self._store.phases.values() if phase.is_open}:
            source = self._owners.get(owner)
            if source is None or source.is_alive():
                continue
            self._drain(source, listener)
            if not source.is_alive():  # or it has shown that it went on in a new segment
                self._store.owner_gone(owner, self._evidence_ns(source), source.death)
        for phase in [phase for phase in self._store.phases.values() if phase.interrupted]:
            if self._is_final(phase):
                self._emit(phase, listener)
        asked = {trace_id for trace_id, _ in self._store.phases}
        for trace_id in [t for t, root in self._roots.items() if not root.is_open and t not in asked]:
            del self._roots[trace_id]

    def _is_final(self, phase: PhaseRun) -> bool:
        root = self._roots.get(phase.trace_id)
        if root is None or not root.is_open:
            return True
        source = self._owners.get(root.owner)
        if source is not None and not source.is_alive():
            return True
        return self._now() - (phase.end_ns or 0) > GRACE_NS

    def _evidence_ns(self, source: SegmentSource) -> int:
        """When the owner last showed life; never before anything it recorded."""
        span = self._last_spans.get(source.owner)
        return max(source.evidence_ns(), self._last_events.get(source.owner, 0), recorded_end(span) if span else 0)


def bucketed(positions: Mapping[str, int]) -> list[dict[str, int]]:
    """Split positions by segment, always in the same way, so that a commit writes the few that changed."""
    found: list[dict[str, int]] = [{} for _ in range(BUCKETS)]
    for name, position in positions.items():
        found[zlib.crc32(name.encode(errors="surrogateescape")) % BUCKETS][name] = position
    return found


def _changed_ns(directory: Path) -> int:
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0
