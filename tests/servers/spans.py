"""Send a small trace with the stock SDK and find it again: the proof that a Jaeger works."""

from __future__ import annotations

import secrets

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from tests.servers.jaeger import Jaeger


def over_http(jaeger: Jaeger) -> SpanExporter:
    """The stock OTLP/HTTP exporter, pointed at this Jaeger."""
    return HttpSpanExporter(endpoint=f"{jaeger.endpoint}/v1/traces")


def over_grpc(jaeger: Jaeger) -> SpanExporter:
    """The stock OTLP/gRPC exporter, pointed at this Jaeger."""
    return GrpcSpanExporter(endpoint=jaeger.grpc_endpoint, insecure=True)


def send(exporter: SpanExporter, service: str, run_id: str) -> str:
    """Send a run with one phase in it; return its trace id."""
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(__name__)
    with tracer.start_as_current_span("nightly", attributes={"run.id": run_id}) as root:
        tracer.start_span("lint").end()
    provider.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


def check_round_trip(jaeger: Jaeger, exporter: SpanExporter) -> None:
    """A trace goes in and comes back by id and by search, and only by the right search."""
    service, run_id = f"tests-{secrets.token_hex(4)}", secrets.token_hex(8)
    trace_id = send(exporter, service, run_id)

    trace = jaeger.wait_for_trace(trace_id, spans=2)
    assert sorted(span["operationName"] for span in trace["spans"]) == ["lint", "nightly"]
    assert service in jaeger.services()

    found = jaeger.search(service, {"run.id": run_id})
    assert [trace["traceID"] for trace in found] == [trace_id]
    assert len(jaeger.search(service, {"run.id": run_id}, operation="nightly")) == 1
    assert jaeger.search(service, {"run.id": "another"}) == []
    assert jaeger.search(service, {"run.id": run_id}, operation="lint") == []
    assert jaeger.search("nobody", {"run.id": run_id}) == []
