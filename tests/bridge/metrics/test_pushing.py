"""The other output: what is committed is pushed, and released by the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.daemon.heard import hear_traces
from otel_workflow.bridge.daemon.intake import Intake
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.metrics.pushing import Pushing
from tests.bridge.daemon.making import run_span, traces


class Backend:
    """Answers what it is told and keeps what it got."""

    def __init__(self) -> None:
        self.answer = Answer("accepted", 200)
        self.bodies: list[bytes] = []

    def connect(self, deadline: float) -> bool:
        return True

    def send(self, body: bytes, *, deadline: float) -> Answer:
        self.bodies.append(body)
        return self.answer

    def close(self) -> None:
        pass

    def finished(self) -> float:
        """What the last request says of finished runs."""
        request = ExportMetricsServiceRequest.FromString(self.bodies[-1])
        metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
        found = next(m for m in metrics if m.name == "otel_workflow.run.finished")
        return sum(point.as_int or point.as_double for point in found.sum.data_points)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[MetricsWriter]:
    made = MetricsWriter(tmp_path, birth_hold=1000.0)
    intake = Intake(made)
    intake.hear(hear_traces(traces(run_span(7))))
    made.commit()
    yield made
    made.close()


def soon() -> float:
    return time.monotonic() + 5


def test_a_push_that_was_acknowledged_releases_what_it_showed_at_0(writer: MetricsWriter) -> None:
    backend = Backend()
    pushing = Pushing(writer, backend, 60.0)
    assert pushing.push(soon())
    assert 0 == backend.finished()
    assert pushing.push(soon())
    assert 1 == backend.finished()
    assert pushing.last_success is not None


@pytest.mark.parametrize("answer", [Answer("retry", 503), Answer("refused", 400, message="no"), Answer("unreachable")])
def test_a_push_that_was_not_acknowledged_releases_nothing_and_is_said(writer: MetricsWriter, answer: Answer) -> None:
    backend = Backend()
    pushing = Pushing(writer, backend, 60.0)
    backend.answer = answer
    for _ in range(3):
        assert not pushing.push(soon())
    assert 0 == backend.finished()
    assert pushing.trouble


def test_at_the_end_it_pushes_a_last_time(writer: MetricsWriter) -> None:
    backend = Backend()
    pushing = Pushing(writer, backend, 60.0)
    pushing.start()
    assert pushing.stop(soon())
    assert 1 == len(backend.bodies)
