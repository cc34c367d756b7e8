"""The OTLP receiver for tests: what it reads, what it answers, and that it leaves nothing behind."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.otlp import encode_request, encode_resource, encode_scope, encode_span
from otel_workflow.bridge.span_data import SpanData, SpanEvent, SpanLink
from otel_workflow.testing import OtlpReceiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def _client(receiver: OtlpReceiver) -> OtlpHttpClient:
    return OtlpHttpClient(Destination(f"{receiver.endpoint}/v1/traces"))


@pytest.fixture
def client(receiver: OtlpReceiver) -> Iterator[OtlpHttpClient]:
    client = _client(receiver)
    yield client
    client.close()


def _span(number: int, **more: Any) -> SpanData:
    return SpanData(b"t" * 16, bytes(7) + bytes([number]), f"phase {number}", 1, 2, **more)


def _body(*spans: SpanData) -> bytes:
    resource, scope = encode_resource({"service.name": "ow"}), encode_scope("ow", "1")
    return encode_request([(resource, "", scope, "", [encode_span(span)]) for span in spans])


def _send(client: OtlpHttpClient, body: bytes, within: float = 10.0) -> Answer:
    return client.send(body, deadline=time.monotonic() + within)


def _names(receiver: OtlpReceiver) -> list[str]:
    return [span["name"] for span in receiver.spans]


def test_a_span_is_readable_as_plain_data(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    values = {"s": "ü", "b": True, "i": -1, "f": 0.5, "raw": b"\x00", "l": ["a", 1], "m": {"x": None}}
    span = SpanData(
        b"t" * 16,
        b"s" * 8,
        "lint",
        10,
        20,
        parent_span_id=b"p" * 8,
        kind=2,
        attributes=values,
        events=(SpanEvent(15, "phase.progress", {"done": 3}),),
        links=(SpanLink(b"u" * 16, b"v" * 8, {"attempt": 1}),),
        status_code=2,
        status_message="2 files do not parse",
    )
    assert _send(client, _body(span)).kind == "accepted"
    assert receiver.spans == [
        {
            "trace_id": "74" * 16,
            "span_id": "73" * 8,
            "parent_span_id": "70" * 8,
            "name": "lint",
            "kind": 2,
            "start_ns": 10,
            "end_ns": 20,
            "attributes": values,
            "events": [{"name": "phase.progress", "time_ns": 15, "attributes": {"done": 3}}],
            "links": [{"trace_id": "75" * 16, "span_id": "76" * 8, "attributes": {"attempt": 1}}],
            "status": {"code": 2, "message": "2 files do not parse"},
            "resource": {"service.name": "ow"},
            "scope": "ow",
        }
    ]
    assert receiver.span_bytes() == [("73" * 8, encode_span(span))]


def test_the_stock_exporter_is_understood(receiver: OtlpReceiver) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "stock"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{receiver.endpoint}/v1/traces")))
    provider.get_tracer("scope").start_span("root").end()
    provider.shutdown()
    (span,) = receiver.spans
    assert (span["name"], span["parent_span_id"], span["scope"]) == ("root", "", "scope")


def test_a_span_that_comes_twice_is_there_twice_and_counts_once(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    for _ in range(2):
        _send(client, _body(_span(1), _span(2)))
    assert len(receiver.spans) == 4
    assert receiver.span_ids == {"0000000000000001", "0000000000000002"}
    assert len(set(receiver.span_bytes())) == 2
    assert receiver.wait_for(2, timeout=0)
    assert not receiver.wait_for(3, timeout=0)


def test_compressed_bodies_are_kept_as_they_were_before(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    body = _body(_span(1, attributes={"long": "x" * 5000}))
    _send(client, body)
    assert receiver.requests == [body]
    assert len(receiver.spans) == 1


def test_answers_come_in_the_order_of_the_script_and_then_200(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    receiver.script(503, 429)
    receiver.script(413, "partial:1")
    answers = [_send(client, _body(_span(1), _span(2))) for _ in range(5)]
    assert [(answer.kind, answer.status) for answer in answers] == [
        ("retry", 503),
        ("retry", 429),
        ("refused", 413),
        ("accepted", 200),
        ("accepted", 200),
    ]
    assert (answers[3].rejected, answers[3].message) == (1, "1 rejected")
    assert _names(receiver) == ["phase 1", "phase 1", "phase 2"]
    assert len(receiver.requests) == 5


def test_reset_cuts_the_connection(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    receiver.script("reset")
    answer = _send(client, _body(_span(1)))
    assert (answer.kind, answer.message) == ("unreachable", "Connection reset by peer")
    assert _send(client, _body(_span(1))).kind == "accepted"
    assert len(receiver.spans) == 1


def test_hang_never_answers_and_does_not_hold_up_the_end(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    receiver.script("hang")
    answer = _send(client, _body(_span(1)), within=0.3)
    assert (answer.kind, answer.message) == ("unreachable", "no answer before the deadline")
    assert receiver.spans == []
    assert len(receiver.requests) == 1
    # The fixture ends now, and the test's own timeout would tell if it waited for the hanging thread.


@pytest.mark.parametrize("answer", [99, 600, "partial", "partial:x", "Hang", "", "503"])
def test_an_unknown_answer_is_an_error(answer: int | str) -> None:
    with pytest.raises(ValueError, match="is not an answer"):
        OtlpReceiver().script(200, answer)


def test_waiting_ends_when_the_spans_arrive(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    sender = threading.Thread(target=lambda: [_send(client, _body(_span(number))) for number in range(3)])
    sender.start()
    assert receiver.wait_for(3, timeout=30)
    sender.join()


def test_there_is_an_endpoint_only_inside_of_the_block() -> None:
    with pytest.raises(RuntimeError, match="with OtlpReceiver"):
        OtlpReceiver().endpoint  # noqa: B018
    with OtlpReceiver() as receiver:
        assert receiver.endpoint.startswith("http://127.0.0.1:")


def test_at_the_end_kept_connections_are_closed_and_threads_are_gone() -> None:
    before = set(threading.enumerate())
    with OtlpReceiver() as receiver:
        client = _client(receiver)
        _send(client, _body(_span(1)))
    assert set(threading.enumerate()) == before
    answer = _send(client, _body(_span(2)))
    client.close()
    assert (answer.kind, answer.message) == ("unreachable", "connection refused")
    assert _names(receiver) == ["phase 1"]


def test_a_collector_can_come_back_at_the_same_address() -> None:
    with OtlpReceiver() as first:
        client = _client(first)
        _send(client, _body(_span(1)))
    port = urlsplit(first.endpoint).port
    assert port is not None
    with OtlpReceiver(port=port) as second:
        assert _send(client, _body(_span(2))).kind == "accepted"
        client.close()
    assert second.endpoint == first.endpoint
    assert _names(second) == ["phase 2"]


def _post(receiver: OtlpReceiver, path: str, body: bytes, **headers: str) -> int:
    port = urlsplit(receiver.endpoint).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_is_no_trace_request_is_refused_and_consumes_no_answer(receiver: OtlpReceiver) -> None:
    receiver.script(503)
    assert _post(receiver, "/v1/traces", b"nonsense") == 400
    assert _post(receiver, "/v1/traces", b"no gzip", Content_Encoding="gzip") == 400
    assert _post(receiver, "/", b"") == 404
    assert _post(receiver, "/v1/metrics", b"") == 200
    assert _post(receiver, "/v1/logs", b"") == 200
    assert _post(receiver, "/v1/traces", zlib.compress(_body(_span(1)), wbits=31), Content_Encoding="gzip") == 503
    assert receiver.spans == []


def test_a_client_that_goes_away_in_the_middle_harms_nothing(receiver: OtlpReceiver, client: OtlpHttpClient) -> None:
    address = ("127.0.0.1", urlsplit(receiver.endpoint).port or 0)
    with socket.create_connection(address) as early:
        early.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 99\r\n\r\nhalf")
    assert _send(client, _body(_span(1))).kind == "accepted"
