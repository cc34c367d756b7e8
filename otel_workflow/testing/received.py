"""Reads the requests of the three OTLP signals as plain data, and each span's bytes as they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.testing.reply import Reply

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ("SIGNALS", "Item", "Received", "Signal", "partial_success", "raw_spans", "read_items")

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")

Item = tuple[dict[str, Any], bytes]
"""A span, a metric or a log record as plain data; a span also as it came."""

_REQUESTS = {
    "traces": ("trace", "ExportTraceServiceRequest"),
    "metrics": ("metrics", "ExportMetricsServiceRequest"),
    "logs": ("logs", "ExportLogsServiceRequest"),
}
_RESPONSES = {
    "traces": ("trace", "ExportTraceServiceResponse", "rejected_spans"),
    "metrics": ("metrics", "ExportMetricsServiceResponse", "rejected_data_points"),
    "logs": ("logs", "ExportLogsServiceResponse", "rejected_log_records"),
}


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came, whatever it was answered.

    ``raw`` are the bytes on the wire and ``body`` the same decompressed. ``headers`` have lower-case
    names; over gRPC they are the metadata, and ``raw`` is the message.
    """

    signal: Signal
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: bytes
    reply: Reply


def _module(name: str) -> Any:
    return import_module(f"opentelemetry.proto.collector.{name}.v1.{name}_service_pb2")


def partial_success(signal: Signal, rejected: int) -> bytes:
    """Return an answer that says how many items were rejected; no bytes at all for none."""
    if not rejected:
        return b""
    name, kind, count = _RESPONSES[signal]
    partial = {count: rejected, "error_message": f"{rejected} rejected"}
    return bytes(getattr(_module(name), kind)(partial_success=partial).SerializeToString())


def read_items(signal: Signal, body: bytes) -> list[Item]:
    """Return what a request brings, in its order; ValueError for what is no such request."""
    name, kind = _REQUESTS[signal]
    refusal = import_module("google.protobuf.message").DecodeError  # by name: the package has no types
    try:
        request = getattr(_module(name), kind).FromString(body)
    except refusal as error:
        raise ValueError(f"not an {kind}") from error
    if signal == "traces":
        return list(_spans(request, body))
    read = _metrics if signal == "metrics" else _logs
    return [(item, b"") for item in read(request)]


# ---- traces -----------------------------------------------------------------------------


def _spans(request: Any, body: bytes) -> Iterator[Item]:
    raw = raw_spans(body)
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, resource, scope_spans.scope.name), next(raw)


def raw_spans(body: bytes) -> Iterator[bytes]:
    """Yield each span's bytes as they stand in a trace request; ValueError where they are no protobuf."""
    # resource_spans = 1, in it scope_spans = 2, in it spans = 2.
    for resource_spans in _inside(body, 1):
        for scope_spans in _inside(resource_spans, 2):
            yield from _inside(scope_spans, 2)


def _inside(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in wire_fields(message) if found == number and isinstance(value, bytes))


def _span(span: Span, resource: dict[str, Any], scope: str) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": int(span.kind),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "attributes": _attributes(link.attributes)}
            for link in span.links
        ],
        "status": {"code": int(span.status.code), "message": span.status.message},
        "resource": resource,
        "scope": scope,
    }


# ---- metrics ----------------------------------------------------------------------------


def _metrics(request: Any) -> Iterator[dict[str, Any]]:
    for resource_metrics in request.resource_metrics:
        resource = _attributes(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield _metric(metric, resource, scope_metrics.scope.name)


def _metric(metric: Metric, resource: dict[str, Any], scope: str) -> dict[str, Any]:
    kind = metric.WhichOneof("data") or ""
    data: Any = getattr(metric, kind) if kind else None
    return {
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit,
        "kind": kind,
        "temporality": {1: "delta", 2: "cumulative"}.get(getattr(data, "aggregation_temporality", 0), ""),
        "monotonic": bool(getattr(data, "is_monotonic", False)),
        "points": [_point(point) for point in data.data_points] if data is not None else [],
        "resource": resource,
        "scope": scope,
    }


_COPIED = ("count", "sum", "min", "max", "scale", "zero_count")


def _point(point: Any) -> dict[str, Any]:
    names = {each.name for each in point.DESCRIPTOR.fields}
    made: dict[str, Any] = {
        "attributes": _attributes(point.attributes),
        "start_ns": point.start_time_unix_nano,
        "time_ns": point.time_unix_nano,
    }
    if "as_int" in names:
        made["value"] = getattr(point, point.WhichOneof("value") or "as_int")
    made.update({name: getattr(point, name) for name in _COPIED if name in names})
    if "explicit_bounds" in names:
        made["bounds"], made["buckets"] = list(point.explicit_bounds), list(point.bucket_counts)
    if "exemplars" in names:
        made["exemplars"] = [
            {
                "value": getattr(each, each.WhichOneof("value") or "as_int"),
                "time_ns": each.time_unix_nano,
                "trace_id": each.trace_id.hex(),
                "span_id": each.span_id.hex(),
                "attributes": _attributes(each.filtered_attributes),
            }
            for each in point.exemplars
        ]
    return made


# ---- logs -------------------------------------------------------------------------------


def _logs(request: Any) -> Iterator[dict[str, Any]]:
    for resource_logs in request.resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield _log(record, resource, scope_logs.scope.name)


def _log(record: LogRecord, resource: dict[str, Any], scope: str) -> dict[str, Any]:
    return {
        "time_ns": record.time_unix_nano,
        "observed_ns": record.observed_time_unix_nano,
        "severity": int(record.severity_number),
        "severity_text": record.severity_text,
        "event_name": record.event_name,
        "body": _value(record.body),
        "attributes": _attributes(record.attributes),
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "resource": resource,
        "scope": scope,
    }


# ---- values -----------------------------------------------------------------------------


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
