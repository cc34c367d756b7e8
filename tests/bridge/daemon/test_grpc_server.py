"""OTLP over gRPC: the same answers in gRPC's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_workflow.bridge.daemon.addresses import Address, parse_listen
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.ingest import MAX_WIRE
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.errors import ConfigError
from tests.bridge.daemon.making import (
    LOOPBACK,
    health,
    log_event,
    logs,
    numbers,
    place_of,
    run_span,
    running,
    runs,
    task_span,
    traces,
    until,
)

GRPC = parse_listen("grpc://127.0.0.1:0")
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path, listen=(GRPC, LOOPBACK)) as made:
        yield made


def call(daemon: Daemon, body: bytes, method: str = TRACES, *metadata: tuple[str, str], **options: Any) -> bytes:
    place = place_of(daemon, "grpc")
    with grpc.insecure_channel(place.place, options=[("grpc.enable_retries", 0)]) as channel:
        answer: bytes = channel.unary_unary(method)(body, timeout=20, metadata=metadata, **options)
        return answer


def refusal(*arguments: Any, **options: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call(*arguments, **options)
    return refused.value.code()  # type: ignore[no-any-return]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_run_that_is_sent_is_counted_once(daemon: Daemon, compression: grpc.Compression) -> None:
    for _ in range(2):
        assert b"" == call(daemon, traces(run_span(7)), compression=compression)
    assert 1 == runs(numbers(place_of(daemon)))


def test_log_events_are_taken(daemon: Daemon) -> None:
    call(daemon, logs(log_event(7, "workflow.started")), LOGS)
    until(lambda: health(place_of(daemon))["remote_runs"] == 1)


def test_spans_that_make_no_sense_are_a_partial_success(daemon: Daemon) -> None:
    bad = task_span(7, 2)
    bad.trace_id = b"short"
    said = ExportTraceServiceResponse.FromString(call(daemon, traces(bad)))
    assert 1 == said.partial_success.rejected_spans


def test_what_is_no_request_is_an_invalid_argument(daemon: Daemon) -> None:
    assert grpc.StatusCode.INVALID_ARGUMENT == refusal(daemon, b"no protobuf")


def test_another_service_is_not_there(daemon: Daemon) -> None:
    method = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert grpc.StatusCode.UNIMPLEMENTED == refusal(daemon, b"", method)


def test_ingest_size_a_message_beyond_4_mib_is_refused_compressed_or_not(daemon: Daemon) -> None:
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        code = refusal(daemon, bytes(MAX_WIRE + 1), compression=compression)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED == code


def test_zip_bomb_over_grpc_costs_no_memory(daemon: Daemon) -> None:
    """128 MiB of zeros: this process, sender and all, keeps what the sender made and little more."""
    body = bytes(64 * 1024 * 1024)
    refusal(daemon, body[:1], LOGS)  # what gRPC needs for itself is loaded
    before = _now_kib()
    for _ in range(2):
        assert grpc.StatusCode.RESOURCE_EXHAUSTED == refusal(daemon, body, compression=grpc.Compression.Gzip)
    assert _now_kib() - before < 32 * 1024


def _now_kib() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.parametrize(("given", "allowed"), [((), False), ((("authorization", "Bearer " + "t" * 20),), True)])
def test_with_a_token_only_who_has_it_may_send(
    tmp_path: Path, given: tuple[tuple[str, str], ...], allowed: bool
) -> None:
    with running(tmp_path, listen=(GRPC,), token=b"t" * 20) as daemon:
        if allowed:
            call(daemon, traces(run_span(7)), TRACES, *given)
        else:
            assert grpc.StatusCode.UNAUTHENTICATED == refusal(daemon, traces(run_span(7)), TRACES, *given)
        assert allowed == (runs(numbers(place_of(daemon))) == 1)


def test_when_the_disk_takes_nothing_senders_are_told_to_come_again(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_workflow.errors import StateError

    def full() -> None:
        raise StateError("no space left", code="OW-143")

    monkeypatch.setattr(daemon._writer, "commit", full)
    assert grpc.StatusCode.UNAVAILABLE == refusal(daemon, traces(run_span(7)))
    monkeypatch.undo()
    call(daemon, traces(run_span(7)))
    assert 1 == runs(numbers(place_of(daemon)))


def test_a_taken_address_is_said(daemon: Daemon, tmp_path: Path) -> None:
    taken = place_of(daemon, "grpc")
    writer = MetricsWriter(tmp_path / "other")
    try:
        with pytest.raises(ConfigError) as refused:
            Daemon(Plan(state=tmp_path / "other", listen=(Address("grpc", taken.host, taken.port),)), writer)
        assert "OW-150" == refused.value.code
    finally:
        writer.close()
