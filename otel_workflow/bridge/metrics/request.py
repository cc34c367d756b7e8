"""The same numbers as OTLP: an ``ExportMetricsServiceRequest`` with cumulative points.

The field numbers are those of ``metrics.proto``. A point's start is the birth of its series,
which stays the same for ever: a start that moves is a reset to whoever reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from otel_workflow.bridge.metrics.series import Exemplar, Point
from otel_workflow.bridge.metrics.view import Family, Shown
from otel_workflow.bridge.otlp import encode_attributes, encode_resource, encode_scope
from otel_workflow.semconv import BOUNDS, SCHEMA_URL, SCOPE_NAME, Metric
from otel_workflow.version import VERSION

__all__ = ("encode_metrics",)

_SECOND_NS = 1_000_000_000  # an integer: Python then rounds once, to the nearest
_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"
_fixed64 = struct.Struct("<Q").pack
_sfixed64 = struct.Struct("<q").pack
_double = struct.Struct("<d").pack
_BUCKETS = struct.Struct(f"<{len(BOUNDS) + 1}Q").pack
_BOUNDS = struct.Struct(f"<{len(BOUNDS)}d").pack


def encode_metrics(families: Sequence[Family], service: str, instance: str, time_ns: int) -> bytes:
    """Encode what is shown; ``instance`` becomes service.instance.id, which must live as long as the counts."""
    resource = encode_resource({"service.name": service, "service.instance.id": instance})
    scope = _sized(1, encode_scope(SCOPE_NAME, VERSION))
    metrics = b"".join(_sized(2, _metric(family, time_ns)) for family in families)
    scoped = _sized(2, scope + metrics + _text(3, SCHEMA_URL))
    return _sized(1, _sized(1, resource) + scoped + _text(3, SCHEMA_URL))


def _metric(family: Family, time_ns: int) -> bytes:
    metric = family.metric
    head = _text(1, metric.name) + _text(2, metric.description) + _text(3, metric.unit)
    if metric.instrument == "histogram":
        points = b"".join(_sized(1, _histogram(shown, time_ns)) for shown in family.series)
        return head + _sized(9, points + _CUMULATIVE)
    points = b"".join(_sized(1, _number(metric, shown, time_ns)) for shown in family.series)
    if metric.instrument == "gauge":
        return head + _sized(5, points)
    return head + _sized(7, points + _CUMULATIVE + (_MONOTONIC if metric.instrument == "counter" else b""))


def _number(metric: Metric, shown: Shown, time_ns: int) -> bytes:
    value = shown.point.cells[0]
    said = b"\x21" + _double(value / _SECOND_NS) if metric.unit == "s" else b"\x31" + _sfixed64(value)
    start = b"\x11" + _fixed64(shown.birth_ns) if shown.birth_ns else b""
    body = start + b"\x19" + _fixed64(time_ns) + said + _exemplars(shown.point, 5, seconds=False)
    return body + encode_attributes(b"\x3a", dict(shown.labels))


def _histogram(shown: Shown, time_ns: int) -> bytes:
    point = shown.point
    return b"".join(
        (
            b"\x11" + _fixed64(shown.birth_ns),
            b"\x19" + _fixed64(time_ns),
            b"\x21" + _fixed64(sum(point.cells)),
            b"\x29" + _double(point.sum_ns / _SECOND_NS),
            _sized(6, _BUCKETS(*point.cells)),
            _sized(7, _BOUNDS(*BOUNDS)),
            _exemplars(point, 8, seconds=True),
            encode_attributes(b"\x4a", dict(shown.labels)),
        )
    )


def _exemplars(point: Point, number: int, *, seconds: bool) -> bytes:
    return b"".join(_sized(number, _exemplar(each, seconds=seconds)) for each in point.exemplars.values())


def _exemplar(exemplar: Exemplar, *, seconds: bool) -> bytes:
    time_ns, trace_id, span_id, value = exemplar
    said = b"\x19" + _double(value / _SECOND_NS) if seconds else b"\x31" + _sfixed64(value)
    return b"\x11" + _fixed64(time_ns) + said + _sized(4, _id(span_id)) + _sized(5, _id(trace_id))


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _text(number: int, value: str) -> bytes:
    return _sized(number, value.encode())


def _sized(number: int, body: bytes) -> bytes:
    size, length = len(body), bytearray((number << 3 | 2,))
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + body
