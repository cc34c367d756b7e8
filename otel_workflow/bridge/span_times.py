"""Reads off a span's bytes when it began and when it ended."""

from __future__ import annotations

from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.errors import DecodeError
from otel_workflow.journal.record import decode_span

__all__ = ("recorded_end", "start_of")

_START, _END = 7, 8  # of OTLP's Span: start_time_unix_nano and end_time_unix_nano, fixed64


def start_of(span: bytes) -> int | None:
    """Return when a span began, in ns since the epoch; None if that cannot be read."""
    return _time(span, _START)


def recorded_end(payload: bytes) -> int:
    """Return when the span of a span record ended, in ns since the epoch; 0 if that cannot be read."""
    try:
        return _time(decode_span(payload)[3], _END) or 0
    except DecodeError:
        return 0


def _time(span: bytes, field: int) -> int | None:
    try:
        value = next((value for number, value in wire_fields(span) if number == field), None)
    except ValueError:
        return None
    return int.from_bytes(value, "little") if isinstance(value, bytes) else None
