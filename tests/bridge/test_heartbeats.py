"""A run says that it has begun until that was heard, and then that it lives, by a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.heartbeats import Heartbeats, OpenRun, heartbeat_request
from otel_workflow.bridge.otlp import encode_resource
from otel_workflow.bridge.signals import destination_for
from otel_workflow.testing import ManualClock, OtlpReceiver
from tests.bridge.grpc_peer import GrpcPeer

RUN = OpenRun("a" * 32, "b" * 16, "nightly", "r1", 1_600_000_000_000_000_000)
OTHER = OpenRun("c" * 32, "d" * 16, "deploy", "r2", 1_600_000_001_000_000_000)
STARTED, BEAT = "workflow.started", "workflow.heartbeat"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


class Line:
    """Heartbeats every 10 s of whichever runs are open, to a receiver, on a clock."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self.runs: list[OpenRun] = []
        self.clock = ManualClock()
        self.beats = Heartbeats(
            client_for(Destination(f"{receiver.endpoint}/v1/logs"), "logs"),
            10.0,
            lambda: self.runs,
            lambda: (encode_resource({"service.name": "s"}), ""),
            now=lambda: self.clock.now()[0],
            monotonic=lambda: self.clock.now()[1] / 1e9,
        )

    def after(self, seconds: int) -> None:
        """Let seconds pass, as the thread does: one turn in each."""
        assert 1.0 == self.beats.pause
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.beats.turn()


@pytest.fixture
def line(receiver: OtlpReceiver) -> Iterator[Line]:
    made = Line(receiver)
    yield made
    made.beats.client.close()


def said(receiver: OtlpReceiver) -> list[tuple[str, str]]:
    return [(record["event_name"], record["span_id"][:1]) for record in receiver.logs]


def test_a_run_says_once_that_it_has_begun_and_every_ten_seconds_that_it_lives(
    receiver: OtlpReceiver, line: Line
) -> None:
    line.after(30)
    assert [] == said(receiver)
    line.runs = [RUN]
    line.after(1)
    assert [(STARTED, "b"), (BEAT, "b")] == said(receiver)
    line.after(9)
    assert 2 == len(said(receiver))
    line.after(20)
    assert [(BEAT, "b")] * 2 == said(receiver)[2:]
    line.runs = []
    line.after(60)
    assert 4 == len(said(receiver))


def test_a_second_run_is_told_when_it_begins(receiver: OtlpReceiver, line: Line) -> None:
    line.runs = [RUN]
    line.after(3)
    line.runs = [RUN, OTHER]
    line.after(1)
    assert [(BEAT, "b"), (STARTED, "d"), (BEAT, "d")] == said(receiver)[2:]


def test_what_was_not_heard_is_said_again_with_the_time_it_began_at(receiver: OtlpReceiver, line: Line) -> None:
    receiver.script(503, 503, signal="logs")
    line.runs = [RUN]
    line.after(20)
    assert [] == said(receiver)
    line.after(10)
    assert [(STARTED, "b"), (BEAT, "b")] == said(receiver)
    started, beat = receiver.logs
    assert (RUN.start_ns, line.clock.start_ns + 21 * 10**9) == (started["time_ns"], beat["time_ns"])
    assert 3 == len(receiver.received)


def test_a_record_carries_what_the_runs_span_carries(receiver: OtlpReceiver, line: Line) -> None:
    line.runs = [RUN]
    line.after(1)
    for record in receiver.logs:
        assert (RUN.trace_id, RUN.span_id) == (record["trace_id"], record["span_id"])
        assert {"cicd.pipeline.name": "nightly", "cicd.pipeline.run.id": "r1"} == record["attributes"]
        assert {"service.name": "s"} == record["resource"]


@pytest.mark.parametrize("code", [404, 405, 501])
def test_where_nobody_takes_logs_it_is_over(code: int, receiver: OtlpReceiver, line: Line) -> None:
    receiver.script(code, signal="logs")
    line.runs = [RUN]
    line.after(1)
    assert line.beats.over


@pytest.mark.parametrize("code", [401, 429, 500, 503])
def test_any_other_refusal_is_no_reason_to_fall_silent(code: int, receiver: OtlpReceiver, line: Line) -> None:
    receiver.script(code, signal="logs")
    line.runs = [RUN]
    line.after(11)
    assert (False, 2) == (line.beats.over, len(said(receiver)))


def test_over_grpc_it_is_over_where_there_is_no_service_of_logs() -> None:
    with GrpcPeer() as peer:  # it has the one of traces
        client = client_for(Destination(peer.endpoint, protocol="grpc"), "logs")
        beats = Heartbeats(client, 10.0, lambda: [RUN], monotonic=lambda: 100.0)
        beats.turn()
        client.close()
        assert beats.over


def test_the_official_parser_reads_every_field() -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    body = heartbeat_request([RUN], set(), 42, encode_resource({"service.name": "s"}), "https://url")
    message = ExportLogsServiceRequest.FromString(body)
    assert body == message.SerializeToString()
    started, beat = message.resource_logs[0].scope_logs[0].log_records
    assert (STARTED, RUN.start_ns, 42, 9) == (
        started.event_name,
        started.time_unix_nano,
        started.observed_time_unix_nano,
        started.severity_number,
    )
    assert (BEAT, 42) == (beat.event_name, beat.time_unix_nano)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"}, "http://c:1/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://l:2/own"}, "http://l:2/own"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:3"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://c:1"),
    ],
)
def test_they_go_where_the_standard_variables_send_logs(environ: dict[str, str], url: str | None) -> None:
    found = destination_for("logs", environ)
    assert url == (found.url if found is not None else None)
