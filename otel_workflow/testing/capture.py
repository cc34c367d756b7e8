"""Captures what a workflow says, for tests: events, spans and the tree, readable as plain data.

Nothing is written, sent or installed; ids count 1, 2, 3 and time stands still unless a clock is
advanced, so that what was captured can be compared literally.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from otel_workflow.bridge.span_data import SpanData
from otel_workflow.bridge.traces import span_of
from otel_workflow.bus import get_bus
from otel_workflow.events import Event
from otel_workflow.instrumentation.published import Published
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import EVENT, MemoryJournal
from otel_workflow.journal.record import decode_event
from otel_workflow.report import tree_text
from otel_workflow.runs import Run, RunStore
from otel_workflow.testing.manual_clock import ManualClock

__all__ = ("Captured", "capture_workflow")

_KINDS = {1: "INTERNAL", 2: "SERVER"}
_STATUSES = {0: "UNSET", 1: "OK", 2: "ERROR"}


class _CountingIds:
    """Ids 1, 2, 3: readable in a snapshot."""

    def __init__(self) -> None:
        self._spans = self._traces = 0

    def span_id(self) -> int:
        self._spans += 1
        return self._spans

    def trace_id(self) -> int:
        self._traces += 1
        return self._traces


class Captured:
    """What was said so far; every look is fresh, so it may be read inside and after the block."""

    def __init__(self, journal: MemoryJournal, start_ns: int) -> None:
        self._journal = journal
        self._start_ns = start_ns

    @property
    def events(self) -> Sequence[Event]:
        """All events in the order in which they were recorded."""
        return [decode_event(record.payload) for record in self._journal.read() if record.kind == EVENT]

    def _store(self) -> RunStore:
        store = RunStore()
        for event in self.events:
            store.add(event, "test")
        return store

    @property
    def runs(self) -> Sequence[Run]:
        """The runs as the fold sees them."""
        return self._store().runs()

    @property
    def spans(self) -> Sequence[dict[str, Any]]:
        """The finished spans, parents before children; ids are 1, 2, ... and times are seconds."""
        ended = [phase for run in self.runs for _, phase in run.walk() if not phase.is_open]
        return [self._plain(span_of(phase)) for phase in ended]

    def _plain(self, span: SpanData) -> dict[str, Any]:
        return {
            "name": span.name,
            "id": int.from_bytes(span.span_id, "big"),
            "parent": int.from_bytes(span.parent_span_id, "big") or None,
            "kind": _KINDS[span.kind],
            "start": self._seconds(span.start_ns),
            "end": self._seconds(span.end_ns),
            "status": _STATUSES[span.status_code],
            "message": span.status_message,
            "attributes": dict(span.attributes),
            "events": [(self._seconds(event.time_ns), event.name) for event in span.events],
        }

    def _seconds(self, time_ns: int) -> float:
        seconds = round((time_ns - self._start_ns) / 1e9, 6)
        return int(seconds) if seconds == int(seconds) else seconds

    def tree(self) -> str:
        """The runs as text, one line a phase: name, outcome, whole seconds, reason."""
        return "\n".join(tree_text(run) for run in self.runs)


@contextmanager
def capture_workflow(*, clock: ManualClock | None = None) -> Iterator[Captured]:
    """Record every phase of a block in memory, whatever is configured outside."""
    time = clock or ManualClock()
    journal = MemoryJournal(lambda: {"version": 1, "resource": {"service.name": "test"}, "scope": {}})
    recorder = Recorder("native", get_bus(), journal, clock=time, ids=_CountingIds())
    bus = recorder.bus
    before = bus.attach_sink(Published(recorder))
    try:
        with replaced(recorder):
            yield Captured(journal, time.start_ns)
    finally:
        bus.attach_sink(before)
