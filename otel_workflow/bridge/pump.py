"""Reads a journal directory and turns what became final into spans that wait, as bytes.

The one reader behind all three ways of shipping: a thread in the process, ``ship`` once, the
daemon for ever. It remembers by segment how far everything has been acknowledged, so a restart
sends nothing twice but what was in flight.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable

from otel_workflow import semconv
from otel_workflow.bridge.open_phases import Ended, OpenPhases, key_of
from otel_workflow.bridge.otlp import (
    encode_resource,
    encode_scope,
    encode_span,
    go_on,
)
from otel_workflow.bridge.pairs import PairEncoder
from otel_workflow.bridge.span_data import SpanData
from otel_workflow.bridge.span_times import recorded_end
from otel_workflow.bridge.traces import MARKER_AFTER_NS, correction_of, marker_of, span_of
from otel_workflow.bridge.waiting import Group, Progress, Remembered, Source, Waiting, request_of
from otel_workflow.errors import DecodeError
from otel_workflow.events import SpanRef
from otel_workflow.journal.record import MAKER_SDK, SAMPLED, decode_span
from otel_workflow.journal.writer import EVENT, SPAN
from otel_workflow.runs import PhaseRun, RunStore

__all__ = ("CORRECTION", "Pump", "Source", "Waiting", "request_of")

GRACE_NS = 30_000_000_000
CORRECTION = ":correction"
"""What the key of a correction span ends with, in the cursor's list of what was sent."""
_MARKER_MARGIN_NS = 1_000_000_000
_REMEMBERED_NS = 8 * 86_400 * 1_000_000_000
"""How long a sent key is kept after it was last of use: a day longer than retired segments are."""
_DAY_NS = 86_400 * 1_000_000_000
_BREATH = 4  # records; a usual one takes 5 us, one for the fold some 50
_BATCHED = 64  # spans that are only looked at
_HEAVY = 10  # as a shift: a record costs a budget one, and one more for each KiB
_NO_END = float("inf")
_time_of = struct.Struct("<Q").unpack_from
_TIME_AT, _HEAD = 36, 52  # of an event record: where its wall time stands, and how long its head is


class Pump:
    """Folds sources into waiting spans.

    ``acknowledged`` and ``sent_keys`` are what the cursor file holds. ``unparsed`` counts records
    that did not parse, ``late_verdicts`` corrections, ``queued`` all spans that ever waited here,
    ``size`` the bytes of those that wait now. ``behind`` is True while a read stopped at its budget.
    ``breathe`` is called several times in a millisecond of work: a thread beside somebody's program
    lets go of the interpreter there.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns, acknowledged: dict[str, int] | None = None) -> None:
        self.now = now
        self.waiting: deque[Waiting] = deque()
        self.acknowledged = acknowledged if acknowledged is not None else {}
        self.sent_keys: dict[str, int] = {}
        self.queued = 0
        self.size = 0
        self.late_verdicts = 0
        self.behind = False
        self.breathe: Callable[[], object] = go_on
        self._left = _NO_END
        self._queued_keys: set[str] = set()
        self._phases = OpenPhases((self.sent_keys, self._queued_keys))
        self._pairs = PairEncoder()
        self._sources: dict[str, Progress] = {}
        self._owners: dict[str, Source] = {}
        self._seen: set[str] = set()
        self._groups: dict[str, Group] = {}
        self._last_events: dict[str, int] = {}
        self._last_spans: dict[str, bytes] = {}
        self._bad_spans = 0
        self._pruned = 0

    @property
    def store(self) -> RunStore:
        """All open phases, as the fold has them."""
        return self._phases.store()

    @property
    def unparsed(self) -> int:
        """How many records did not parse."""
        return self._phases.unparsed + self._bad_spans

    # -- in -------------------------------------------------------------------------------------

    def read(self, sources: Iterable[Source], *, force: bool = False, budget: int | None = None) -> int:
        """Read what is new in the sources and queue what became final; returns how many records.

        ``force`` emits interrupted phases whose grace is not over yet. After ``budget`` records (a
        long one counts once more for each KiB) reading stops and ``behind`` is set: then nobody is
        judged dead, and the next call goes on.
        """
        looked = self.now()
        count = 0
        self.behind = False
        self._left = _NO_END if budget is None else budget
        for source in sources:
            self._owners[source.owner] = source
            self._seen.add(source.name)
            count += self._take_all(source)
            if self._left <= 0:
                self.behind, self._left = True, _NO_END
                break
        self._queue_finished()
        self._mark_long_runs(looked)
        if not self.behind:
            self._close_the_dead(looked, force=force)
            self._prune(looked)
        self._phases.forget_roots()
        return count

    def _take_all(self, source: Source) -> int:
        """Take the source's new records, or as many of them as what is left of the budget."""
        name, owner, progress, take = source.name, source.owner, self._progress(source), self._phases.take
        newest, count, done, left = 0, 0, progress.acknowledged, self._left
        try:
            for kind, _, payload, end in source.read():
                count += 1
                progress.read = end
                if kind == EVENT:
                    if len(payload) > _HEAD and (time_ns := _time_of(payload, _TIME_AT)[0]) > newest:
                        newest = time_ns
                    take(payload, owner, name, end, end <= done)
                elif kind == SPAN:
                    self._take_span(owner, progress, name, payload, end)
                if not count % _BREATH:
                    self.breathe()
                left -= 1 + (len(payload) >> _HEAVY)
                if left <= 0:
                    break
        finally:
            self._left = left
            if newest:
                source.note(newest)
                self._last_events[owner] = max(newest, self._last_events.get(owner, 0))
        return count

    def _progress(self, source: Source) -> Progress:
        progress = self._sources.get(source.name)
        if progress is None:
            resource = encode_resource(source.header.get("resource", {}))
            progress = self._sources[source.name] = Progress(resource, self.acknowledged.get(source.name, 0))
        return progress

    def _take_span(self, owner: str, progress: Progress, name: str, payload: bytes, end: int) -> None:
        self._last_spans[owner] = payload
        if end <= progress.acknowledged:
            return
        try:
            scope, schema, resource, span = decode_span(payload)
        except DecodeError:
            self._bad_spans += 1
            return
        self._wait(Waiting((resource or progress.resource, "", scope, schema), span, name, end))

    # -- what became final ----------------------------------------------------------------------

    def _queue_finished(self) -> None:
        """Queue the spans of what has ended, in the order in which that was said."""
        for ids, ended in self._phases.finished():
            self.breathe()
            if ended.late is not None:
                self._correct(ids, ended)
            elif not ended.settled:
                self._queue(ids, ended)

    def _queue(self, ids: bytes, ended: Ended) -> None:
        pair = ended.pair
        if pair is not None:
            start, end = pair
            if not _is_ours(end[2]):
                return
            span = self._pairs.span(start, end)
            if span is not None:
                group = self._groups.get(ended.owner) or self._group(ended.owner)
                self._wait(Waiting(group, span, ended.source, ended.end))
                return
        phase = self._phases.folded(ids, ended)
        if phase is None or phase.end is None or not _is_made_here(phase.end.span):
            return
        self._wait(Waiting(self._group(phase.owner), encode_span(span_of(phase)), ended.source, ended.end))

    def _correct(self, ids: bytes, ended: Ended) -> None:
        """Queue what an end says that came after its phase's span was made; once for each phase."""
        key = key_of(ids) + CORRECTION
        if ended.late is None or not _is_made_here(ended.late.span) or self._is_known(key):
            return
        self.late_verdicts += 1
        self._queued_keys.add(key)
        span = correction_of(ended.late, corrects=ended.corrects)
        self._wait(Waiting(self._group(ended.owner), encode_span(span), ended.source, ended.end, key))

    def _group(self, owner: str) -> Group:
        """The resource and scope of the process that opened a phase."""
        group = self._groups.get(owner)
        if group is None:
            source = self._owners.get(owner)
            header = source.header if source is not None else {}
            scope = header.get("scope", {})
            group = self._groups[owner] = (
                encode_resource(header.get("resource", {})),
                header.get("resource_schema", ""),
                encode_scope(scope.get("name", semconv.SCOPE_NAME), scope.get("version", "")),
                semconv.SCHEMA_URL,
            )
        return group

    def _wait(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.queued += 1
        self.size += len(waiting.span)
        if waiting.source:
            self._sources[waiting.source].pending.add(waiting.end)

    def _close_the_dead(self, now: int, *, force: bool) -> None:
        """Close open phases of dead owners; queue those whose end can no longer change."""
        for owner in self._phases.owners():
            source = self._owners.get(owner)
            if source is not None and not source.is_alive():
                self._take_all(source)  # what it wrote between our reading and its death
                if not source.is_alive():  # or that has shown that it went on in a new segment
                    self._phases.owner_gone(owner, self._evidence_ns(source), source.death)
        self._queue_finished()
        for phase, under_known in self._phases.interrupted():
            if not _is_wanted(phase):
                self._phases.discard(phase)
            elif force or self._is_final(phase, now):
                span = span_of(phase, under_phase=not under_known)
                self._wait_once(f"{phase.trace_id}:{phase.span_id}", self._group(phase.owner), span)
                self._phases.discard(phase)

    def _wait_once(self, key: str, group: Group, span: SpanData) -> None:
        if not self._is_known(key):
            self._queued_keys.add(key)
            self._wait(Waiting(group, encode_span(span), key=key))

    def _is_known(self, key: str) -> bool:
        """True when the key's span waits or was sent; one that is asked for is not forgotten yet."""
        sent = self.sent_keys.get(key)
        if sent is not None and self.now() - sent > _DAY_NS:
            self.sent_keys[key] = self.now()
        return sent is not None or key in self._queued_keys

    def _prune(self, now: int) -> None:
        """Forget, once a day, keys of which nothing was heard for longer than a segment is kept."""
        if now - self._pruned < _DAY_NS:
            return
        self._pruned = now
        for key in [key for key, sent in self.sent_keys.items() if now - sent > _REMEMBERED_NS]:
            del self.sent_keys[key]

    def _evidence_ns(self, source: Source) -> int:
        """When the owner last showed life; never before anything it recorded, in whichever segment."""
        return max(source.evidence_ns(), self._newest(source.owner))

    def _newest(self, owner: str) -> int:
        span = self._last_spans.get(owner)
        return max(self._last_events.get(owner, 0), recorded_end(span) if span else 0)

    def _is_final(self, phase: PhaseRun, now: int) -> bool:
        """True when its run is over or dead, or has had time enough to say that the phase lives."""
        return now - (phase.end_ns or now) > GRACE_NS or not any(
            root.trace_id == phase.trace_id and root.is_open and self._is_alive(root.owner)
            for root in self._phases.runs()
        )

    def _is_alive(self, owner: str) -> bool:
        source = self._owners.get(owner)
        return source is None or source.is_alive()

    def _mark_long_runs(self, now: int) -> None:
        """Queue the marker of every run that lasts, or lasted, ten seconds; decided by times alone."""
        for root in self._phases.runs():
            self.breathe()
            end = root.end_ns if root.end_ns is not None else now - _MARKER_MARGIN_NS
            if end - root.start_ns >= MARKER_AFTER_NS and _is_wanted(root):
                self._wait_once(f"{root.trace_id}:marker", self._group(root.owner), marker_of(root))

    # -- out ------------------------------------------------------------------------------------

    def batch(self, max_bytes: int, max_spans: int) -> list[Waiting]:
        """Return the next spans to send, oldest first; they stay waiting until ``settled``."""
        chosen: list[Waiting] = []
        size = 0
        for number, waiting in enumerate(self.waiting):
            if not number % _BATCHED:
                self.breathe()
            if chosen and (size + len(waiting.span) > max_bytes or len(chosen) >= max_spans):
                break
            chosen.append(waiting)
            size += len(waiting.span) + 8
        return chosen

    def settled(self, batch: list[Waiting]) -> None:
        """Take spans off that were accepted, or refused for good."""
        for number, waiting in enumerate(batch):
            if not number % _BREATH:
                self.breathe()
            if self.waiting and self.waiting[0] is waiting:
                self.waiting.popleft()
                self.size -= len(waiting.span)
            if waiting.source:
                self._sources[waiting.source].pending.discard(waiting.end)
            if waiting.key:
                self._queued_keys.discard(waiting.key)
                self.sent_keys[waiting.key] = self.now()
        for name, progress in self._sources.items():
            self.acknowledged[name] = progress.settle()

    # -- through a restart ----------------------------------------------------------------------

    def remembered(self) -> Remembered | None:
        """Return what a pump needs to go on from here; None while spans wait, or a phase is open that says much."""
        known = None if self.waiting else self._phases.remembered()
        if known is None:
            return None
        said, ended = known
        read = {name: progress.read for name, progress in self._sources.items()}
        newest = {owner: self._newest(owner) for owner in self._owners}
        return Remembered(read, newest, said, ended)

    def recall(self, sources: Iterable[Source], known: Remembered) -> None:
        """Go on where another pump stopped; before anything is read, and with ``sources`` that begin there.

        What was said in a source that is gone is not recalled: its records were moved, or counted as dropped.
        """
        here = {source.name: source for source in sources if source.name in known.read}
        for name, source in here.items():
            progress = self._progress(source)
            progress.read = known.read[name]
            self._last_events[source.owner] = known.newest.get(source.owner, 0)
        self._phases.recall((said for said in known.said if said[1] in here), known.ended)

    def leave_out(self, source: str, kept: Collection[int]) -> None:
        """Take spans off that wait, but whose records (by their ends) were dropped from the journal."""
        gone = {w.end for w in self.waiting if w.source == source and w.end not in kept}
        if source in self._sources:
            self._sources[source].pending -= gone
        self.waiting = deque(w for w in self.waiting if w.source != source or w.end not in gone)
        self.size = sum(len(waiting.span) for waiting in self.waiting)

    def waits_for(self, name: str) -> bool:
        """True while a span of a source, by its name, waits to be sent."""
        progress = self._sources.get(name)
        return progress is not None and bool(progress.pending)

    def is_done_with(self, source: Source) -> bool:
        """True when a source was read and nothing that its owner recorded waits or is open."""
        progress = self._sources.get(source.name)
        if source.name not in self._seen or (progress is not None and progress.pending):
            return False
        return not self._phases.is_open_for(source.owner)

    def forget(self, source: Source) -> None:
        """Stop remembering a source that is retired, and its owner with the last of its sources."""
        self._sources.pop(source.name, None)
        self._seen.discard(source.name)
        self.acknowledged.pop(source.name, None)
        if self._owners.get(source.owner) is source:
            for known in (self._owners, self._groups, self._last_events, self._last_spans):
                known.pop(source.owner, None)


def _is_ours(flags: int) -> bool:
    """True for the flags of a sampled event whose span nobody else makes."""
    return flags & (SAMPLED | MAKER_SDK) == SAMPLED


def _is_made_here(ref: SpanRef | None) -> bool:
    return ref is not None and ref.maker == "bridge" and bool(ref.trace_flags & 1)


def _is_wanted(phase: PhaseRun) -> bool:
    ref = phase.any_event.span
    return bool(ref is not None and ref.trace_flags & 1)
