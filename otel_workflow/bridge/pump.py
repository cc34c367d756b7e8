"""Reads a journal directory and turns what became final into spans that wait, as bytes.

The one reader behind all three ways of shipping: a thread in the process, ``ship`` once, the
daemon for ever. It remembers by segment how far everything has been acknowledged, so a restart
sends nothing twice but what was in flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from otel_workflow import semconv
from otel_workflow.bridge.otlp import (
    encode_request,
    encode_resource,
    encode_scope,
    encode_span,
    wire_fields,
)
from otel_workflow.bridge.span_data import SpanData
from otel_workflow.bridge.traces import MARKER_AFTER_NS, marker_of, span_of
from otel_workflow.errors import DecodeError
from otel_workflow.events import END_TRANSITIONS, Event
from otel_workflow.journal.reader import Record
from otel_workflow.journal.record import decode_event, decode_span
from otel_workflow.journal.writer import EVENT, SPAN
from otel_workflow.runs import PhaseRun, RunStore

__all__ = ("Pump", "Source", "Waiting", "request_of")

GRACE_NS = 30_000_000_000
_MARKER_MARGIN_NS = 1_000_000_000
_ENDED_KEPT = 10_000


class Source(Protocol):
    """Somewhere records come from: a segment of a directory, or a journal in memory."""

    name: str
    owner: str
    header: dict[str, Any]
    death: str

    def read(self) -> Iterable[Record]:
        """Yield the records that came since the last call."""
        ...

    def is_alive(self) -> bool:
        """True unless its owner is proven to be gone."""
        ...

    def evidence_ns(self) -> int:
        """Return when its owner last showed life."""
        ...

    def note(self, time_ns: int) -> None:
        """Remember the time of a record."""
        ...


@dataclass(slots=True)
class Waiting:
    """One span that waits to be sent, and what its acknowledgement means.

    ``source`` and ``end`` say up to where that segment is then done; both are empty for a span
    that no single record stands for (interrupted, marker), which is remembered by ``key``.
    """

    group: tuple[bytes, str, bytes, str]
    span: bytes
    source: str = ""
    end: int = 0
    key: str = ""


@dataclass(slots=True)
class _Progress:
    """Where reading of one source stands against what was acknowledged."""

    resource: bytes
    acknowledged: int = 0
    read: int = 0
    pending: int = 0


@dataclass(slots=True)
class Pump:
    """Folds sources into waiting spans.

    ``acknowledged`` and ``sent_keys`` are what the cursor file holds. ``refused`` counts records
    that did not parse.
    """

    now: Callable[[], int] = time.time_ns
    store: RunStore = field(default_factory=RunStore)
    waiting: deque[Waiting] = field(default_factory=deque)
    acknowledged: dict[str, int] = field(default_factory=dict)
    sent_keys: dict[str, int] = field(default_factory=dict)
    unparsed: int = 0
    queued: int = 0
    late_verdicts: int = 0
    _sources: dict[str, _Progress] = field(default_factory=dict)
    _owners: dict[str, Source] = field(default_factory=dict)
    _roots: dict[str, PhaseRun] = field(default_factory=dict)
    _queued_keys: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _groups: dict[str, tuple[bytes, str, bytes, str]] = field(default_factory=dict)
    _ended: dict[tuple[str, str], None] = field(default_factory=dict)
    _last_events: dict[str, int] = field(default_factory=dict)
    _last_spans: dict[str, bytes] = field(default_factory=dict)

    def read(self, sources: Iterable[Source], *, force: bool = False) -> int:
        """Read what is new in the sources and queue what became final; returns how many records.

        ``force`` emits interrupted phases whose grace is not over yet.
        """
        looked = self.now()
        count = 0
        for source in sources:
            self._owners[source.owner] = source
            self._seen.add(source.name)
            for record in source.read():
                count += 1
                self._take(source, record)
        self._mark_long_runs(looked)
        self._close_the_dead(looked, force=force)
        return count

    def _take(self, source: Source, record: Record) -> None:
        progress = self._sources.get(source.name)
        if progress is None:
            resource = encode_resource(source.header.get("resource", {}))
            progress = self._sources[source.name] = _Progress(resource, self.acknowledged.get(source.name, 0))
        progress.read = record.end
        if record.kind == SPAN:
            self._last_spans[source.owner] = record.payload
        try:
            if record.kind == EVENT:
                self._take_event(source, progress, record)
            elif record.kind == SPAN and record.end > progress.acknowledged:
                scope, schema, resource, span = decode_span(record.payload)
                group = (resource or progress.resource, "", scope, schema)
                self._wait(Waiting(group, span, source.name, record.end))
        except DecodeError:
            self.unparsed += 1

    def _take_event(self, source: Source, progress: _Progress, record: Record) -> None:
        event = decode_event(record.payload)
        source.note(event.time_ns)
        self._last_events[source.owner] = event.time_ns
        if event.span is not None and (event.span.trace_id, event.span.span_id) in self._ended:
            self.late_verdicts += event.transition in END_TRANSITIONS
            return  # from another thread, a moment late: it must not open the phase again
        phase = self.store.add(event, source.owner)
        if phase is None or event.span is None:
            return
        if phase.facts.is_run and not phase.facts.nested:
            self._roots[phase.trace_id] = phase
        if event.transition not in END_TRANSITIONS:
            return
        if self._is_to_send(event, phase, record, progress):
            self._wait(Waiting(self._group(phase), encode_span(span_of(phase)), source.name, record.end))
        self.store.discard(phase)  # its bytes wait; a root stays known in _roots
        self._ended[phase.trace_id, phase.span_id] = None
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def _is_to_send(self, event: Event, phase: PhaseRun, record: Record, progress: _Progress) -> bool:
        ref = event.span
        if ref is None or ref.maker != "bridge" or not ref.trace_flags & 1:
            return False
        key = _key(phase)
        if (
            key in self.sent_keys or key in self._queued_keys
        ):  # sent as interrupted already: one id is never sent in two versions
            self.late_verdicts += 1
            return False
        return record.end > progress.acknowledged and phase.end is event

    def _group(self, phase: PhaseRun) -> tuple[bytes, str, bytes, str]:
        """The resource and scope of the process that opened the phase."""
        group = self._groups.get(phase.owner)
        if group is None:
            source = self._owners.get(phase.owner)
            header = source.header if source is not None else {}
            scope = header.get("scope", {})
            group = self._groups[phase.owner] = (
                encode_resource(header.get("resource", {})),
                header.get("resource_schema", ""),
                encode_scope(scope.get("name", semconv.SCOPE_NAME), scope.get("version", "")),
                semconv.SCHEMA_URL,
            )
        return group

    def _wait(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.queued += 1
        if waiting.source:
            self._sources[waiting.source].pending += 1

    def _close_the_dead(self, now: int, *, force: bool) -> None:
        """Close open phases of dead owners; queue those whose end can no longer change."""
        for owner in {phase.owner for phase in self.store.phases.values() if phase.is_open}:
            source = self._owners.get(owner)
            if source is not None and not source.is_alive():
                self._drain(source)
                if not source.is_alive():  # or the drain has shown that it went on in a new segment
                    self.store.owner_gone(owner, self._evidence_ns(source), source.death)
        phases = dict(self.store.phases)
        for phase in phases.values():
            if not phase.interrupted:
                continue
            if not self._is_wanted(phase):
                self.store.discard(phase)
            elif force or self._is_final(phase, now):
                parent = phase.trace_id, _parent_id(phase)
                span = span_of(phase, under_phase=parent not in phases and parent not in self._ended)
                self._wait_once(_key(phase), self._group(phase), span)
                self.store.discard(phase)
        self._forget_roots()

    def _wait_once(self, key: str, group: tuple[bytes, str, bytes, str], span: SpanData) -> None:
        if key not in self.sent_keys and key not in self._queued_keys:
            self._queued_keys.add(key)
            self._wait(Waiting(group, encode_span(span), key=key))

    def _forget_roots(self) -> None:
        """Forget roots that have ended and that no open phase asks for any more."""
        asked = {trace_id for trace_id, _ in self.store.phases}
        for trace_id in [t for t, root in self._roots.items() if not root.is_open and t not in asked]:
            del self._roots[trace_id]

    def _drain(self, source: Source) -> None:
        """Read what the owner wrote between our reading and its death."""
        for record in source.read():
            self._take(source, record)

    def _evidence_ns(self, source: Source) -> int:
        """When the owner last showed life; never before anything it recorded, in whichever segment."""
        span = self._last_spans.get(source.owner)
        return max(source.evidence_ns(), self._last_events.get(source.owner, 0), _end_of(span) if span else 0)

    def _is_wanted(self, phase: PhaseRun) -> bool:
        ref = phase.any_event.span
        return bool(ref is not None and ref.trace_flags & 1)

    def _is_final(self, phase: PhaseRun, now: int) -> bool:
        root = self._roots.get(phase.trace_id)
        if root is None or not root.is_open:
            return True
        source = self._owners.get(root.owner)
        if source is not None and not source.is_alive():
            return True
        return now - (phase.end_ns or now) > GRACE_NS

    def _mark_long_runs(self, now: int) -> None:
        """Queue the marker of every run that lasts, or lasted, ten seconds; decided by times alone."""
        for phase in list(self._roots.values()):
            end = phase.end_ns if phase.end_ns is not None else now - _MARKER_MARGIN_NS
            if end - phase.start_ns >= MARKER_AFTER_NS and self._is_wanted(phase):
                self._wait_once(f"{phase.trace_id}:marker", self._group(phase), marker_of(phase))

    # -- out ------------------------------------------------------------------------------------

    def batch(self, max_bytes: int, max_spans: int) -> list[Waiting]:
        """Return the next spans to send, oldest first; they stay waiting until ``settled``."""
        chosen: list[Waiting] = []
        size = 0
        for waiting in self.waiting:
            if chosen and (size + len(waiting.span) > max_bytes or len(chosen) >= max_spans):
                break
            chosen.append(waiting)
            size += len(waiting.span) + 8
        return chosen

    def settled(self, batch: list[Waiting]) -> None:
        """Take spans off that were accepted, or refused for good."""
        for waiting in batch:
            if self.waiting and self.waiting[0] is waiting:
                self.waiting.popleft()
            if waiting.source:
                progress = self._sources[waiting.source]
                progress.pending -= 1
                progress.acknowledged = max(progress.acknowledged, waiting.end)
            if waiting.key:
                self._queued_keys.discard(waiting.key)
                self.sent_keys[waiting.key] = self.now()
        for name, progress in self._sources.items():
            self.acknowledged[name] = progress.read if progress.pending == 0 else progress.acknowledged

    def leave_out(self, source: str, kept: Collection[int]) -> None:
        """Take spans off that wait, but whose records (by their ends) were dropped from the journal."""
        stays = [w for w in self.waiting if w.source != source or w.end in kept]
        if source in self._sources:
            self._sources[source].pending -= len(self.waiting) - len(stays)
        self.waiting = deque(stays)

    def is_done_with(self, source: Source) -> bool:
        """True when a source was read and nothing that its owner recorded waits or is open."""
        progress = self._sources.get(source.name)
        if source.name not in self._seen or (progress is not None and progress.pending):
            return False
        return all(phase.owner != source.owner for phase in self.store.phases.values())

    def forget(self, source: Source) -> None:
        """Stop remembering a source that is retired, and its owner with the last of its sources."""
        self._sources.pop(source.name, None)
        self._seen.discard(source.name)
        self.acknowledged.pop(source.name, None)
        if self._owners.get(source.owner) is source:
            for known in (self._owners, self._groups, self._last_events, self._last_spans):
                known.pop(source.owner, None)


def _parent_id(phase: PhaseRun) -> str:
    ref = phase.any_event.span
    return (ref.parent_span_id if ref is not None else None) or ""


def _key(phase: PhaseRun) -> str:
    return f"{phase.trace_id}:{phase.span_id}"


def _end_of(payload: bytes) -> int:
    """Return when the span of a span record ended, ns since the epoch; 0 if that cannot be read."""
    try:
        ended = dict(wire_fields(decode_span(payload)[3])).get(8)
    except (DecodeError, ValueError):
        return 0
    return int.from_bytes(ended, "little") if isinstance(ended, bytes) else 0


def request_of(batch: list[Waiting]) -> bytes:
    """Return an ExportTraceServiceRequest with these spans, grouped by resource and scope."""
    return encode_request((*waiting.group, [waiting.span]) for waiting in batch)
