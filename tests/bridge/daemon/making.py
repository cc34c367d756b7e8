"""Makes OTLP requests as strangers' SDKs do, with the official messages, and talks to a daemon."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from otel_workflow.bridge.daemon.addresses import Address, parse_listen
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.metrics import MetricsWriter

SECOND = 1_000_000_000
START = time.time_ns() - 100 * SECOND
LOOPBACK = parse_listen("http://127.0.0.1:0")
SCRAPER = {"X-Prometheus-Scrape-Timeout-Seconds": "10", "Accept": "application/openmetrics-text;version=1.0.0"}


def attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    def value(said: Any) -> AnyValue:
        for kind, name in ((bool, "bool_value"), (int, "int_value"), (float, "double_value"), (str, "string_value")):
            if isinstance(said, kind):
                return AnyValue(**{name: said})
        raise TypeError(said)

    return [KeyValue(key=key, value=value(said)) for key, said in values.items()]


def run_span(trace: int, *, result: str = "success", seconds: float = 5.0, span: int = 1, **more: Any) -> Span:
    """A run's root as the conventions have it."""
    said = {"cicd.pipeline.name": "nightly", "cicd.pipeline.run.id": f"r{trace}", "cicd.pipeline.result": result}
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        name="RUN nightly",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=START,
        end_time_unix_nano=START + round(seconds * SECOND),
        attributes=attributes({**said, **more}),
    )


def task_span(trace: int, span: int, name: str = "compile", *, status: int = 0, **more: Any) -> Span:
    """A phase as the conventions have it; its result may be left to the status."""
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        parent_span_id=(1).to_bytes(8, "big"),
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=START,
        end_time_unix_nano=START + SECOND,
        status=Status(code=status),  # type: ignore[arg-type]
        attributes=attributes({"cicd.pipeline.name": "nightly", "cicd.pipeline.task.name": name, **more}),
    )


def traces(*spans: Span, **resource: Any) -> bytes:
    scoped = ScopeSpans(spans=spans, schema_url="https://example.org/schema")
    about = Resource(attributes=attributes({k.replace("_", "."): v for k, v in resource.items()}))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=about, scope_spans=[scoped])]
    ).SerializeToString()


def log_event(trace: int, event: str, *, span: int = 1, second: float = 0.0, **more: Any) -> LogRecord:
    said = {"cicd.pipeline.name": "nightly", "cicd.pipeline.run.id": f"r{trace}"}
    return LogRecord(
        time_unix_nano=START + round(second * SECOND),
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        event_name=event,
        attributes=attributes({**said, **{k.replace("__", "."): v for k, v in more.items()}}),
    )


def logs(*records: LogRecord) -> bytes:
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])]
    ).SerializeToString()


@contextmanager
def running(state: Path, **plan: Any) -> Iterator[Daemon]:
    """A daemon in this process, listening at a loopback port that also shows the page."""
    chosen = {"listen": (LOOPBACK,), "metrics": LOOPBACK, "deadline": 5.0, **plan}
    daemon = Daemon(Plan(state=state, **chosen), MetricsWriter(state, birth_hold=0.0))
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def place_of(daemon: Daemon, protocol: str = "http") -> Address:
    return next(place for place in daemon.places if place.protocol == protocol)


def ask(
    place: Address, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(place.host, place.port, timeout=20)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read everything
            connection.request(method, path, body, dict(headers or {}))
        if connection.sock is None:
            raise ConnectionResetError("gone before it answered")
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def post(place: Address, body: bytes, path: str = "/v1/traces", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(place, "POST", path, body, {"Content-Type": "application/x-protobuf", **named})


def numbers(place: Address) -> dict[str, float]:
    """What a scraper reads, by series; twice, since the first page shows new series at 0."""
    for _ in range(2):
        status, _, page = ask(place, "GET", "/metrics", headers=SCRAPER)
        assert status == 200
    return parse(page.decode())


def parse(page: str) -> dict[str, float]:
    found = {}
    for line in page.splitlines():
        match = re.match(r"([^ #]+(?:\{.*?\})?) ([^ ]+)( #.*)?$", line)
        if match:
            found[match[1]] = float(match[2])
    return found


def total(found: Mapping[str, float], name: str, *parts: str) -> float:
    """The sum of a metric's series whose labels contain all parts."""
    return sum(
        v for series, v in found.items() if re.match(rf"{name}(\{{|$)", series) and all(p in series for p in parts)
    )


RUNS = "cicd_pipeline_run_duration_seconds_count"


def runs(found: Mapping[str, float], result: str = "") -> float:
    return total(found, RUNS, 'state="executing"', f'result="{result}' if result else "")


def health(place: Address) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ask(place, "GET", "/healthz")[2])
    return document


def until(holds: Any, seconds: float = 10.0) -> None:
    """Wait for something that another thread or process brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
