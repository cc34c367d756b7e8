"""What a backend's answer means: taken, later, never, or nobody there."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.shown import displayed, one_line

__all__ = ("PROTOBUF", "Answer", "interpret", "parse_retry_after")

PROTOBUF = "application/x-protobuf"
_RETRY_AFTER_FLOOR, _RETRY_AFTER_CAP = 1.0, 900.0
_RETRY = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    ``accepted``: done, though ``rejected`` spans of it were not wanted (never resend those).
    ``retry``: not now; not before ``retry_after`` seconds if given. ``refused``: never, as it is
    (bisect it). ``unreachable``: nobody who speaks OTLP answered in time.
    """

    kind: Literal["accepted", "retry", "refused", "unreachable"]
    status: int | None = None
    rejected: int = 0
    message: str = ""
    retry_after: float | None = None


def interpret(status: int, headers: Mapping[str, str], body: bytes | None) -> Answer:
    """Say what a response means; ``body`` is decompressed, or None when it could not be read.

    Header names may be spelled in any case.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    content_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        return _interpret_success(status, content_type, body)
    if 300 <= status < 400:
        target = displayed(headers.get("location") or "") or "nowhere"
        return Answer("unreachable", status, message=f"redirected to {target}, not followed")
    message = _error_message(content_type, body or b"")
    if status in _RETRY or status >= 500:
        return Answer("retry", status, 0, message, parse_retry_after(headers.get("retry-after"), time.time()))
    return Answer("refused" if status >= 400 else "unreachable", status, message=message)


def _interpret_success(status: int, content_type: str, body: bytes | None) -> Answer:
    if body is None:
        return Answer("unreachable", status, message="the answer could not be read")
    if not body:
        return Answer("accepted", status)
    if content_type == PROTOBUF:
        rejected, message = _partial_success(body)
        return Answer("accepted", status, rejected, message)
    if content_type == "application/json" and body.lstrip().startswith(b"{"):
        # Some backends answer JSON whatever was sent to them.
        found = re.search(rb'"rejectedSpans"\s*:\s*"?([0-9]{1,18})', body)
        return Answer("accepted", status, int(found[1]) if found else 0)
    kind = one_line(content_type) or "no content type"
    return Answer("unreachable", status, message=f"answered with {kind}: not an OTLP receiver (a captive portal?)")


def _partial_success(body: bytes) -> tuple[int, str]:
    # ExportTraceServiceResponse.partial_success = 1, with rejected_spans = 1, error_message = 2.
    try:
        partial = dict(wire_fields(body)).get(1)
        said = dict(wire_fields(partial)) if isinstance(partial, bytes) else {}
    except ValueError:
        return 0, "the answer does not parse"
    rejected = said.get(1)
    return rejected if isinstance(rejected, int) and rejected < 1 << 63 else 0, _text_of(said.get(2))


def _error_message(content_type: str, body: bytes) -> str:
    if content_type != PROTOBUF:
        return _text_of(body)
    try:
        return _text_of(dict(wire_fields(body)).get(2))  # google.rpc.Status.message
    except ValueError:
        return ""


def _text_of(said: object) -> str:
    return one_line(said[:800].decode("utf-8", "replace")) if isinstance(said, bytes) else ""


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the wait a ``Retry-After`` header asks for, within 1 s and 900 s; None for garbage.

    ``now`` is the wall-clock time in seconds against which a date is read.
    """
    from email.utils import parsedate_to_datetime

    value = (value or "").strip()
    try:
        counted = re.fullmatch(r"[0-9]{1,18}", value)
        seconds = float(value) if counted else parsedate_to_datetime(value).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(max(seconds, _RETRY_AFTER_FLOOR), _RETRY_AFTER_CAP)
