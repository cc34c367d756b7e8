"""What a receiver can be told to answer over HTTP, and what it keeps of what came."""

from __future__ import annotations

import http.client
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_workflow.bridge.answer import USER_AGENT
from otel_workflow.testing import OtlpReceiver, Reply
from tests.testing.sending import body, client_of, send, span


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def _post(receiver: OtlpReceiver, path: str = "/v1/traces", what: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    try:
        connection.request("POST", path, what)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_a_reply_says_status_type_headers_and_body(receiver: OtlpReceiver) -> None:
    receiver.script(Reply(429, retry_after="Fri, 01 Jan 2100 00:00:00 GMT", headers={"X-More": "1"}, body=b"slow"))
    status, headers, said = _post(receiver)
    assert (429, b"slow", "1") == (status, said, headers["x-more"])
    assert "Fri, 01 Jan 2100 00:00:00 GMT" == headers["retry-after"]
    assert "application/x-protobuf" == headers["content-type"]


@pytest.mark.parametrize(
    ("word", "status", "content_type", "kept"),
    [
        ("portal", 200, "text/html", 0),
        ("redirect", 307, "text/html", 0),
        ("partial:1", 200, "application/x-protobuf", 1),
        ("UNAVAILABLE", 503, "application/x-protobuf", 0),
        ("DATA_LOSS", 500, "application/x-protobuf", 0),
        ("OK", 200, "application/x-protobuf", 2),
    ],
)
def test_each_word_has_its_answer(receiver: OtlpReceiver, word: str, status: int, content_type: str, kept: int) -> None:
    receiver.script(word)
    answered, headers, _ = _post(receiver, what=body(span(1), span(2)))
    assert (status, content_type) == (answered, headers["content-type"])
    assert kept == len(receiver.spans)
    assert receiver.received[0].reply.http_status == status


def test_a_bomb_is_small_on_the_wire_and_large_behind_it(receiver: OtlpReceiver) -> None:
    receiver.script("bomb")
    _, headers, said = _post(receiver)
    assert "gzip" == headers["content-encoding"]
    assert len(said) < 1 << 17
    assert 64 << 20 == len(zlib.decompress(said, wbits=31))


def test_a_drip_never_ends_and_does_not_hold_up_the_end(receiver: OtlpReceiver) -> None:
    receiver.script("drip")
    with client_of(receiver.endpoint) as client:
        assert "unreachable" == send(client, body(span(1)), within=0.3).kind
    assert ["phase 1"] == [each["name"] for each in receiver.spans]  # taken, though nobody was told


def test_a_collector_may_take_everything_and_die_before_it_says_so(receiver: OtlpReceiver) -> None:
    receiver.script(Reply(manner="reset", takes=True))
    with client_of(receiver.endpoint) as client:
        assert "unreachable" == send(client, body(span(1))).kind
        assert "accepted" == send(client, body(span(1))).kind
    assert 2 == len(receiver.spans)
    assert 1 == receiver.check_delivery({"0000000000000001"}).again


def test_an_answer_comes_after_its_delay(receiver: OtlpReceiver) -> None:
    receiver.script(Reply(after=0.2))
    with client_of(receiver.endpoint) as client:
        before = time.monotonic()
        assert "accepted" == send(client, body(span(1))).kind
        assert time.monotonic() - before >= 0.2


def test_a_delay_does_not_hold_up_the_end() -> None:
    with OtlpReceiver() as receiver:
        receiver.script(Reply(after=3600))
        with client_of(receiver.endpoint) as client:
            assert "unreachable" == send(client, body(span(1)), within=0.2).kind


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reply(99),
        lambda: Reply("unavailable"),
        lambda: Reply(after=-1),
        lambda: Reply(after=float("nan")),
        lambda: Reply(rejected=-1),
    ],
)
def test_an_impossible_reply_is_an_error(make: Any) -> None:
    with pytest.raises(ValueError, match="give"):
        make()


def test_every_request_is_kept_as_it_came(receiver: OtlpReceiver) -> None:
    sent = body(span(1, attributes={"long": "x" * 5000}))
    receiver.script(503)
    with client_of(receiver.endpoint) as client:
        send(client, sent)
    [one] = receiver.received
    assert ("traces", "/v1/traces", sent, 503) == (one.signal, one.path, one.body, one.reply.status)
    assert sent == zlib.decompress(one.raw, wbits=31)
    assert (USER_AGENT, "gzip") == (one.headers["user-agent"], one.headers["content-encoding"])
    assert [] == receiver.spans
    assert receiver.wait_for_requests(1, timeout=0)
    assert not receiver.wait_for_requests(2, timeout=0)


def test_an_outage_closes_connections_keeps_the_port_and_what_was_received(receiver: OtlpReceiver) -> None:
    endpoint = receiver.endpoint
    with client_of(endpoint) as client:
        assert "accepted" == send(client, body(span(1))).kind
        receiver.stop()
        assert "connection refused" == send(client, body(span(2))).message
        receiver.start()
        assert endpoint == receiver.endpoint
        assert "accepted" == send(client, body(span(3))).kind
    assert ["phase 1", "phase 3"] == [each["name"] for each in receiver.spans]


def test_stopping_and_starting_twice_is_once() -> None:
    before = set(threading.enumerate())
    with OtlpReceiver() as receiver:
        receiver.start()
        receiver.stop()
        receiver.stop()
    assert before == set(threading.enumerate())


def test_metrics_are_readable_as_plain_data(receiver: OtlpReceiver) -> None:
    receiver.script(503, signal="traces")
    exporter = OTLPMetricExporter(f"{receiver.endpoint}/v1/metrics")
    provider = MeterProvider(
        [PeriodicExportingMetricReader(exporter)], Resource({"service.name": "m"}), shutdown_on_exit=False
    )
    meter = provider.get_meter("scope")
    meter.create_counter("runs", unit="{run}", description="Runs.").add(3, {"result": "success"})
    meter.create_histogram("duration", unit="s", explicit_bucket_boundaries_advisory=[1, 2]).record(1.5)
    meter.create_gauge("age").set(0.25)
    provider.shutdown()
    runs, duration, gauge = (
        {each["name"]: each for each in receiver.metrics}[name] for name in ("runs", "duration", "age")
    )
    assert ("sum", "cumulative", True, "{run}") == (runs["kind"], runs["temporality"], runs["monotonic"], runs["unit"])
    assert [({"result": "success"}, 3)] == [(point["attributes"], point["value"]) for point in runs["points"]]
    [point] = duration["points"]
    assert (1, 1.5, [1, 2], [0, 1, 0]) == (point["count"], point["sum"], point["bounds"], point["buckets"])
    assert ("gauge", 0.25) == (gauge["kind"], gauge["points"][0]["value"])
    assert ("m", "scope") == (runs["resource"]["service.name"], runs["scope"])


def test_logs_are_readable_as_plain_data_and_can_be_refused(receiver: OtlpReceiver) -> None:
    provider = LoggerProvider(Resource({"service.name": "l"}), shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{receiver.endpoint}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    receiver.script(400, signal="logs")
    for text in ("first", "second"):
        record = LogRecord(
            timestamp=5, severity_number=SeverityNumber.ERROR, severity_text="E", body=text, attributes={"k": [1, 2]}
        )
        provider.get_logger("scope").emit(record)
    provider.shutdown()
    [log] = receiver.logs
    assert ("second", 17, "E", {"k": [1, 2]}, 5) == tuple(
        log[key] for key in ("body", "severity", "severity_text", "attributes", "time_ns")
    )
    assert ["logs", "logs"] == [each.signal for each in receiver.received]
