"""A phase to which more happens than a span can show: all of it is counted, none of it harms the phase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_workflow.bridge.traces import MAX_EVENTS
from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.endtoend.spans import sent_more_than_once

HAPPENED = 10_000


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.mark.parametrize("how", ["span events", "published", "progress"])
def test_more_than_128_events_per_phase_are_bounded_on_the_span_and_counted(
    how: str, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    """The row: a phase of 10,000 events. The span arrives whole, and what it shows and leaves out is all there was."""
    with Program("events", how, str(HAPPENED), OW_JOURNAL=str(tmp_path)) as program:
        assert {"done": True} == program.hear()
        assert (0, "") == program.finish()[:2]
    ship(tmp_path, receiver.endpoint)

    spans = {span.name: span for span in (Span.FromString(raw) for _, raw in receiver.span_bytes())}
    assert {"RUN events", "before", "busy", "after"} == spans.keys()
    busy = spans["busy"]
    first, *between, last = (event.name for event in busy.events)
    assert ("phase.started", "phase.completed") == (first, last)
    assert (MAX_EVENTS, HAPPENED - MAX_EVENTS) == (len(between), busy.dropped_events_count)
    assert [] == sent_more_than_once(receiver)
