"""What a phase holds in memory while it is open, and while it waits, against the SDK span.

Open: 100,000 phases (or spans) are entered and held in a list; what the list takes is taken off. Beside each
other they are current nowhere; "and its context" holds also the context in which each one is current.
With attributes the six of ``benchmarks.phase``; their values are shared, as constants are.
Waiting: finished ones that nobody has fetched, in the journal in memory or in a list of spans.
"""

from __future__ import annotations

import gc
import platform
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import attach, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import use_span

from benchmarks.phase import ATTRIBUTES
from benchmarks.timing import SCALE
from otel_workflow.bus import WorkflowEventBus
from otel_workflow.instrumentation import phase, workflow
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import MemoryJournal

__all__ = ("main",)

COUNT = max(int(100_000 * SCALE), 1_000)
ENOUGH = 1024 * 1024 * 1024
_PAIR = sys.getsizeof((None, None))
"""The tuple in which the two of them are held."""


def _header() -> dict[str, object]:
    return {"version": 1, "resource": {}, "scope": {}, "destination": ""}


class _Frame:
    """The least that a ``with`` of the user's own costs: one object with one thing in it."""

    __slots__ = ("inside",)

    def __enter__(self) -> None:
        self.inside = None

    def __exit__(self, *_: object) -> None:
        pass


def _each(make: Callable[[], object]) -> float:
    """Return the bytes that one more of what ``make`` returns holds, the list of them not counted."""
    make()
    gc.collect()
    kept: list[object] = [None] * COUNT
    tracemalloc.start()
    for index in range(COUNT):
        kept[index] = make()
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / COUNT


def _entered_frame() -> object:
    frame = _Frame()
    frame.__enter__()
    return frame


def _open_phases(attributes: Mapping[str, Any] | None, *, current: bool = False) -> float:
    """Phases beside each other in one run, each entered and left open, without what they wrote."""

    def enter() -> object:
        before = get_current()
        scope = phase("lint", attributes=attributes)
        scope.__enter__()
        inside = get_current()
        attach(before)
        return (scope, inside) if current else scope

    with replaced(Recorder("native", WorkflowEventBus(), MemoryJournal(_header, 1))), workflow("build"):
        return _each(enter)


def _provider(processor: SpanProcessor) -> TracerProvider:
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def _open_spans(attributes: Mapping[str, Any] | None, *, current: bool = False) -> float:
    tracer = _provider(SpanProcessor()).get_tracer("bench")

    def enter() -> object:
        before = get_current()
        entered = tracer.start_as_current_span("lint", attributes=attributes)
        entered.__enter__()
        inside = get_current()
        attach(before)
        return (entered, inside) if current else entered

    root = tracer.start_span("build")
    with use_span(root):
        return _each(enter)


def _waiting_phases() -> float:
    journal = MemoryJournal(_header, ENOUGH)

    def run() -> None:
        with phase("lint", attributes=ATTRIBUTES):
            pass

    with replaced(Recorder("native", WorkflowEventBus(), journal)), workflow("build"):
        return _each(run)


class _Keep(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _waiting_spans() -> float:
    tracer = _provider(_Keep()).get_tracer("bench")

    def run() -> None:
        with tracer.start_as_current_span("lint", attributes=ATTRIBUTES) as span:
            span.add_event("phase.started", {"workflow.event": "phase.started"})
            span.add_event("phase.completed", {"workflow.event": "phase.completed", "workflow.duration": 0.01})

    return _each(run)


def main() -> None:
    """Print the table."""
    frame = _each(_entered_frame)
    rows = [
        ("open SDK span", _open_spans(None) - frame),
        ("open phase", _open_phases(None) - frame),
        ("open SDK span, 6 attributes", _open_spans(ATTRIBUTES) - frame),
        ("open phase, 6 attributes", _open_phases(ATTRIBUTES) - frame),
        ("open SDK span and its context, 6 attributes", _open_spans(ATTRIBUTES, current=True) - frame - _PAIR),
        ("open phase and its context, 6 attributes", _open_phases(ATTRIBUTES, current=True) - frame - _PAIR),
        ("waiting SDK span, 6 attributes, 2 events", _waiting_spans()),
        ("waiting phase, 6 attributes, start and end", _waiting_phases()),
    ]
    print("### What a phase holds\n")
    print(f"Python {platform.python_version()}, {COUNT:,} of each; over a `with` of the user's own ({frame:.0f} B).\n")
    print("| held | bytes | ratio |\n|---|---:|---:|")
    base = 0.0
    for name, used in rows:
        base = used if "SDK" in name else base
        print(f"| {name} | {used:.0f} | {used / base:.2f} |")
    print()


if __name__ == "__main__":
    main()
