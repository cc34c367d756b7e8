"""What a phase costs, against the bare SDK span of the same run.

The base is ``start_as_current_span`` with six attributes and two span events and a processor that
does nothing: all a user gets from it is an object in memory. Our native phase has the same
attributes and events, and its start and its end are in the journal when the call returns.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer

from benchmarks.timing import in_turns, table
from otel_workflow.bus import WorkflowEventBus
from otel_workflow.instrumentation import phase, workflow
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import JournalWriter, MemoryJournal
from otel_workflow.journal.record import SAMPLED, encode_event
from otel_workflow.journal.writer import EVENT

__all__ = ("main",)

ATTRIBUTES = {
    "workflow.name": "build",
    "workflow.run.id": "0123456789abcdef",
    "workflow.phase.name": "lint",
    "workflow.phase.index": 3,
    "workflow.phase.attempt": 1,
    "workflow.phase.critical": True,
}
PHASES = 500
"""In one run; also how often the others are called in one turn."""
BASE = "bare SDK span: 6 attributes, 2 events"


def _header() -> dict[str, object]:
    return {"version": 1, "resource": {"service.name": "bench"}, "scope": {}, "destination": ""}


def _sdk_span(tracer: Tracer) -> Callable[[], None]:
    def run() -> None:
        with tracer.start_as_current_span("lint", attributes=ATTRIBUTES) as span:
            span.add_event("phase.started", {"workflow.event": "phase.started"})
            span.add_event("phase.completed", {"workflow.event": "phase.completed", "workflow.duration": 0.01})

    return run


def _phase(
    recorder: Recorder | None, *, alone: bool = False, attributes: Mapping[str, Any] | None = ATTRIBUTES
) -> Callable[[], None]:
    """Phases inside a run, as phases are; ``alone`` each is the root of a trace."""

    def run() -> None:
        with phase("lint", attributes=attributes):
            pass

    def recorded() -> None:
        for _ in range(PHASES):
            run()

    def in_force() -> None:
        if recorder is None:
            recorded()
            return
        with replaced(recorder):
            if alone:
                recorded()
                return
            with workflow("build"):
                recorded()

    return in_force


def _many(function: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(PHASES):
            function()

    return run


def _records(journal: JournalWriter) -> Callable[[], None]:
    body = {"name": "lint", "run": "0" * 32, "workflow": "build", "attributes": ATTRIBUTES}
    end = {"name": "lint", "run": "0" * 32, "workflow": "build", "start": 1, "outcome": "success"}

    def run() -> None:
        for transition, said in ((1, body), (5, end)):
            payload = encode_event(transition, SAMPLED, b"1" * 16, b"2" * 8, b"3" * 8, 1, 1, said)
            journal.write(EVENT, payload)

    return run


def main() -> None:
    """Print the table."""
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer, bus = provider.get_tracer("bench"), WorkflowEventBus()
    with tempfile.TemporaryDirectory() as place:
        journal = JournalWriter(os.fspath(Path(place) / "j"), _header)
        memory = MemoryJournal(_header, 8 * 1024 * 1024)
        cases = [
            (BASE, _many(_sdk_span(tracer))),
            ("phase, native lane, journal on disk", _phase(Recorder("native", bus, journal))),
            ("the same without attributes", _phase(Recorder("native", bus, journal), attributes=None)),
            ("the same alone, without a run", _phase(Recorder("native", bus, journal), alone=True)),
            ("phase, native lane, journal in memory", _phase(Recorder("native", bus, memory))),
            ("phase, SDK lane, journal on disk", _phase(Recorder("sdk", bus, journal, tracer=tracer))),
            ("phase, SDK lane, no journal", _phase(Recorder("sdk", bus, tracer=tracer))),
            ("phase, off", _phase(None)),
            ("start and end record alone", _many(_records(journal))),
        ]
        times = {name: value / PHASES for name, value in in_turns(cases, 6).items()}
        journal.close()
    table("One phase", times, BASE)
