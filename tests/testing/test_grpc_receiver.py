"""The receiver's gRPC side, spoken to with grpcio itself and with the stock exporter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_workflow.testing import OtlpReceiver, Reply
from tests.testing.sending import body, span

EXPORT = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver(protocol="grpc") as receiver:
        yield receiver


def _export(receiver: OtlpReceiver, what: bytes, timeout: float = 10.0, signal: str = "trace") -> Any:
    with grpc.insecure_channel(receiver.endpoint.removeprefix("http://")) as channel:
        call = channel.unary_unary(EXPORT.format(signal, signal.capitalize()))
        return call.with_call(what, timeout=timeout, metadata=[("authorization", "token")])


def _refusal(receiver: OtlpReceiver, timeout: float = 10.0) -> Any:
    with pytest.raises(grpc.RpcError) as raised:
        _export(receiver, body(span(1)), timeout)
    return raised.value


def test_a_span_is_read_as_over_http(receiver: OtlpReceiver) -> None:
    sent = body(span(1), span(2, parent_span_id=bytes(7) + b"\x01"))
    said, _ = _export(receiver, sent)
    assert b"" == said
    assert ["phase 1", "phase 2"] == [each["name"] for each in receiver.spans]
    [one] = receiver.received
    assert (sent, "token", EXPORT.format("trace", "Trace")) == (one.raw, one.headers["authorization"], one.path)
    assert "2 emitted = 2 delivered + 0 spooled + 0 dropped" == str(receiver.check_delivery(receiver.span_ids))


def test_the_stock_exporter_is_understood(receiver: OtlpReceiver) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(receiver.endpoint, insecure=True)))
    provider.get_tracer("scope").start_span("root").end()
    provider.shutdown()
    assert ["root"] == [each["name"] for each in receiver.spans]


def test_metrics_and_logs_have_their_services(receiver: OtlpReceiver) -> None:
    _export(receiver, b"", signal="metrics")
    _export(receiver, b"", signal="logs")
    assert ["metrics", "logs"] == [each.signal for each in receiver.received]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (503, "UNAVAILABLE"),
        (429, "RESOURCE_EXHAUSTED"),
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (418, "UNKNOWN"),
        ("DATA_LOSS", "DATA_LOSS"),
        ("portal", "UNKNOWN"),
        ("redirect", "UNKNOWN"),
        ("reset", "UNAVAILABLE"),
    ],
)
def test_each_answer_has_its_code(receiver: OtlpReceiver, answer: int | str, code: str) -> None:
    receiver.script(answer)
    assert code == _refusal(receiver).code().name
    assert [] == receiver.spans


def test_retry_after_is_said_as_retry_info(receiver: OtlpReceiver) -> None:
    receiver.script(Reply("UNAVAILABLE", retry_after=2.5, body=b"later", headers={"X-More": "1"}))
    refusal = _refusal(receiver)
    trailers = dict(refusal.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert ("later", 2.5) == (refusal.details(), info.retry_delay.ToTimedelta().total_seconds())
    assert (14, "1") == (status.code, trailers["x-more"])


def test_partial_success_is_counted_in_the_answer(receiver: OtlpReceiver) -> None:
    receiver.script("partial:1")
    said, _ = _export(receiver, body(span(1), span(2)))
    assert 1 == ExportTraceServiceResponse.FromString(said).partial_success.rejected_spans
    assert ["phase 1"] == [each["name"] for each in receiver.spans]


def test_hang_ends_at_the_clients_deadline(receiver: OtlpReceiver) -> None:
    receiver.script("hang")
    assert "DEADLINE_EXCEEDED" == _refusal(receiver, timeout=0.3).code().name


def test_a_bomb_is_more_than_a_client_takes(receiver: OtlpReceiver) -> None:
    receiver.script("bomb")
    assert "RESOURCE_EXHAUSTED" == _refusal(receiver).code().name


def test_what_is_no_request_is_an_invalid_argument(receiver: OtlpReceiver) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        _export(receiver, b"nonsense")
    assert "INVALID_ARGUMENT" == raised.value.code().name


def test_an_outage_refuses_and_comes_back_at_the_same_port(receiver: OtlpReceiver) -> None:
    endpoint = receiver.endpoint
    receiver.stop()
    assert "UNAVAILABLE" == _refusal(receiver).code().name
    receiver.start()
    assert endpoint == receiver.endpoint
    _export(receiver, body(span(1)))
    assert 1 == len(receiver.spans)


def test_a_taken_port_is_an_error() -> None:
    with OtlpReceiver(protocol="grpc") as first, pytest.raises(OSError, match="cannot be listened at"):
        OtlpReceiver(protocol="grpc", port=first.port).start()


def test_a_hanging_call_does_not_hold_up_the_end_and_no_thread_stays() -> None:
    before = set(threading.enumerate())
    with OtlpReceiver(protocol="grpc") as receiver:
        receiver.script("hang")
        failed = threading.Event()

        def call() -> None:
            with pytest.raises(grpc.RpcError):
                _export(receiver, body(span(1)), timeout=60)
            failed.set()

        caller = threading.Thread(target=call)
        caller.start()
        assert receiver.wait_for_requests(1)
    assert failed.wait(10)
    caller.join()
    left = {thread for thread in threading.enumerate() if thread not in before and "otlp-receiver" in thread.name}
    assert set() == left


def test_another_protocol_is_an_error() -> None:
    with pytest.raises(ValueError, match="http/json"):
        OtlpReceiver(protocol="http/json")  # type: ignore[arg-type]
