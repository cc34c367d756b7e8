"""What a backend's answer means: taken, later, never, or nobody there."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.shown import displayed, one_line
from otel_workflow.version import VERSION

__all__ = ("PROTOBUF", "USER_AGENT", "Answer", "bounded_wait", "interpret", "parse_retry_after", "partial_success")

PROTOBUF = "application/x-protobuf"
USER_AGENT = f"otel-workflow-OTLP-Exporter-Python/{VERSION}"
"""Exporter, language and version, as the OTLP exporter specification asks."""
_RETRY_AFTER_FLOOR, _RETRY_AFTER_CAP = 1.0, 900.0
_RETRY = frozenset({408, 429, 502, 503, 504})
_BLAMES: Mapping[int, Literal["data", "size"]] = {400: "data", 413: "size", 422: "data"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    ``accepted``: done, though ``rejected`` spans of it were not wanted (never resend those).
    ``retry``: not now; not before ``retry_after`` seconds if given. ``refused``: never, as it is.
    ``unreachable``: nobody who speaks OTLP answered in time. ``status`` is HTTP's or gRPC's.

    ``blames`` says whose fault it may be, as far as one can tell from the answer: the ``data``
    (bisect it), its ``size`` (split it, trim it), ``either`` the data or the backend (believe it
    of a span only when others are taken meanwhile), or nobody's who sent the data.
    """

    kind: Literal["accepted", "retry", "refused", "unreachable"]
    status: int | None = None
    rejected: int = 0
    message: str = ""
    retry_after: float | None = None
    blames: Literal["data", "size", "either", ""] = ""


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
        wait = parse_retry_after(headers.get("retry-after"), time.time())
        return Answer("retry", status, 0, message, wait, "either" if status == 500 and wait is None else "")
    if status < 400:
        return Answer("unreachable", status, message=message)
    return Answer("refused", status, message=message, blames=_BLAMES.get(status, ""))


def _interpret_success(status: int, content_type: str, body: bytes | None) -> Answer:
    if body is None:
        return Answer("unreachable", status, message="the answer could not be read")
    if not body:
        return Answer("accepted", status)
    if content_type == PROTOBUF:
        rejected, message = partial_success(body)
        return Answer("accepted", status, rejected, message)
    if content_type == "application/json" and body.lstrip().startswith(b"{"):
        # Some backends answer JSON whatever was sent to them.
        found = re.search(rb'"rejectedSpans"\s*:\s*"?([0-9]{1,18})', body)
        return Answer("accepted", status, int(found[1]) if found else 0)
    kind = one_line(content_type) or "no content type"
    return Answer("unreachable", status, message=f"answered with {kind}: not an OTLP receiver (a captive portal?)")


def partial_success(body: bytes) -> tuple[int, str]:
    """Return how many spans an ExportTraceServiceResponse rejects, and what it says of them."""
    # partial_success = 1, with rejected_spans = 1, error_message = 2.
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
    return bounded_wait(seconds)


def bounded_wait(seconds: float) -> float:
    """Return a wait that a backend asks for, within 1 s and 900 s."""
    return min(max(seconds, _RETRY_AFTER_FLOOR), _RETRY_AFTER_CAP)
