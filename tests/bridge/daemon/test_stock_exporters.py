"""What a job sends with stock OpenTelemetry, over either protocol, is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_workflow.bridge.daemon.addresses import parse_listen
from tests.bridge.daemon.making import LOOPBACK, numbers, place_of, running, runs, total

TOKEN = b"0123456789abcdef"


def http(place: str, headers: dict[str, str]) -> Any:
    return HttpExporter(f"http://{place}/v1/traces", headers=headers, compression=Compression.Gzip)


def grpc(place: str, headers: dict[str, str]) -> Any:
    return GrpcExporter(place, insecure=True, headers=tuple(headers.items()))


@pytest.mark.parametrize("make", [http, grpc])
def test_a_job_with_a_stock_sdk_is_counted(tmp_path: Path, make: Any) -> None:
    listen = (LOOPBACK, parse_listen("grpc://127.0.0.1:0"))
    with running(tmp_path, listen=listen, token=TOKEN) as daemon:
        place = place_of(daemon, make.__name__).place
        provider = TracerProvider(resource=Resource({"service.name": "ci", "cicd.pipeline.name": "deploy"}))
        provider.add_span_processor(BatchSpanProcessor(make(place, {"authorization": f"Bearer {TOKEN.decode()}"})))
        tracer = provider.get_tracer("ci")
        said = {"cicd.pipeline.name": "deploy", "cicd.pipeline.run.id": "7", "cicd.pipeline.result": "failure"}
        with tracer.start_as_current_span("RUN deploy", kind=SpanKind.SERVER, attributes=said):
            for name in ("build", "upload"):
                with tracer.start_as_current_span(name, attributes={"cicd.pipeline.task.name": name}) as span:
                    if name == "upload":
                        span.set_status(Status(StatusCode.ERROR))
        provider.shutdown()
        found = numbers(place_of(daemon))
    assert (1, 1) == (runs(found), runs(found, "failure"))
    phases = "otel_workflow_phase_runs_total"
    assert 1 == total(found, phases, 'task_name="build"', 'result="success"')
    assert 1 == total(found, phases, 'task_name="upload"', 'result="failure"')
