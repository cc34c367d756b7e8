"""What encoding a span costs, as ratios to the stock exporter measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

from benchmarks.timing import in_turns, table
from otel_workflow.bridge.encoder import OtlpSpanEncoder
from otel_workflow.bridge.otlp import encode_request, encode_resource, encode_scope, encode_span
from otel_workflow.bridge.span_data import SpanData, SpanEvent

__all__ = ("main",)

BATCH = 512
REPEATS = 6

Case = tuple[str, Callable[[], object]]


def main() -> None:
    """Print the table; raises AssertionError if the bytes are not those of the stock exporter."""
    usual, unique = _finished_spans(repeating=True), _finished_spans(repeating=False)
    plain = [_span_data(span) for span in usual]
    encoder, group = OtlpSpanEncoder(), _group(usual[0])

    def request_of_plain() -> bytes:
        return encode_request([(*group, [encode_span(span) for span in plain])])

    stock = encode_spans(usual).SerializeToString()
    assert encoder.encode(usual) == request_of_plain() == stock
    assert encoder.encode(unique) == encode_spans(unique).SerializeToString()
    waiting = [encode_span(span) for span in plain]
    cases: list[Case] = [
        ("stock `encode_spans` + `SerializeToString`", lambda: encode_spans(usual).SerializeToString()),
        ("`OtlpSpanEncoder`, attributes repeat", lambda: encoder.encode(usual)),
        ("`encode_span(SpanData)`", request_of_plain),
        ("joining spans that wait as bytes", lambda: encode_request([(*group, waiting)])),
    ]
    cold: list[Case] = [
        ("stock `encode_spans` + `SerializeToString`", lambda: encode_spans(unique).SerializeToString()),
        ("`OtlpSpanEncoder`, no attribute repeats", lambda: OtlpSpanEncoder().encode(unique)),
    ]
    for title, chosen in (("Encoding usual spans", cases), ("Encoding spans with nothing in common", cold)):
        times = {name: value / BATCH for name, value in in_turns(chosen, REPEATS).items()}
        table(f"{title}: one of a batch of {BATCH}, 6 attributes and 2 events", times, chosen[0][0])


def _finished_spans(*, repeating: bool) -> Sequence[ReadableSpan]:
    finished = InMemorySpanExporter()
    resource = Resource({"service.name": "bench", "host.name": "h", "ci": True})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    tracer = provider.get_tracer("bench", "1.2", schema_url="https://example.org/schema")
    context = set_span_in_context(tracer.start_span("build"))
    for number in range(BATCH):
        tag = "" if repeating else f" {number}"
        attributes = {
            "workflow.name": f"build{tag}",
            "workflow.run.id": f"0123456789abcdef{tag}",
            "workflow.phase.name": f"lint{number % 20}{tag}",
            "workflow.phase.index": number if repeating else number + 1000,
            "workflow.phase.attempt": 1 if repeating else number + 5000,
            "workflow.phase.critical": True if repeating else number + 9000,
        }
        span = tracer.start_span(f"phase {number % 20}", context, attributes=attributes)
        span.add_event("phase.started", {"workflow.event": f"phase.started{tag}"})
        span.add_event("phase.completed", {"workflow.event": f"phase.completed{tag}", "seconds": number / 997})
        span.end()
    return finished.get_finished_spans()


def _span_data(span: ReadableSpan) -> SpanData:
    assert span.context is not None
    assert span.parent is not None
    assert span.start_time is not None
    assert span.end_time is not None
    return SpanData(
        trace_id=span.context.trace_id.to_bytes(16, "big"),
        span_id=span.context.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent.span_id.to_bytes(8, "big"),
        name=span.name,
        start_ns=span.start_time,
        end_ns=span.end_time,
        attributes=dict(span.attributes or {}),
        events=tuple(SpanEvent(e.timestamp, e.name, dict(e.attributes or {})) for e in span.events),
    )


def _group(span: ReadableSpan) -> tuple[bytes, str, bytes, str]:
    scope = span.instrumentation_scope
    assert scope is not None
    resource = encode_resource(span.resource.attributes)
    return resource, span.resource.schema_url, encode_scope(scope.name, scope.version or ""), scope.schema_url or ""
