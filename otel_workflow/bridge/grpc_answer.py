"""What a gRPC status means, by the table of the OTLP specification."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from otel_workflow.bridge.answer import Answer, bounded_wait, partial_success
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.shown import one_line

__all__ = ("CANCELLED", "DEADLINE_EXCEEDED", "MAX_ANSWER", "UNAVAILABLE", "interpret_grpc", "retry_info")

MAX_ANSWER = (4 << 20) - 1
"""How many bytes of an answer are taken, after decompression too.

One less than what servers take by default: so a limit that was exceeded tells whose it was.
"""

OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 1, 3, 4, 8, 14
_UNKNOWN, _INTERNAL = 2, 13
_RETRY = frozenset({CANCELLED, DEADLINE_EXCEEDED, 10, 11, UNAVAILABLE, 15})  # aborted, out of range, data loss
_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_TOO_LARGE = re.compile(r"larger than max|too large|exceeds? (the )?(maximum|max|limit)", re.IGNORECASE)
_ANSWER_TOO_LARGE = re.compile(rf"vs\. {MAX_ANSWER}\b")  # in gRPC's own words for a message above its limit
_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def interpret_grpc(status: int, details: str, trailers: Iterable[tuple[str, str | bytes]], body: bytes = b"") -> Answer:
    """Say what a call's status means; ``details`` is its message, ``body`` the response if there is one.

    RESOURCE_EXHAUSTED is retried only when RetryInfo says that this helps. INTERNAL and UNKNOWN
    are what servers answer to data they cannot read, and to their own failures as well.
    """
    if status == OK:
        rejected, message = partial_success(body)
        return Answer("accepted", OK, rejected, message)
    name = _NAMES[status] if 0 <= status < len(_NAMES) else f"status {status}"
    message = one_line(f"{name} {details}")
    wait = retry_info(trailers)
    if status in _RETRY or (status == RESOURCE_EXHAUSTED and wait is not None):
        return Answer("retry", status, 0, message, wait)
    if status == RESOURCE_EXHAUSTED and _ANSWER_TOO_LARGE.search(details):
        return Answer("unreachable", status, message="the answer is too large to be OTLP's")
    return Answer("refused", status, 0, message, blames=_blames(status, details))


def _blames(status: int, details: str) -> Literal["data", "size", "either", ""]:
    if status == INVALID_ARGUMENT:
        return "data"
    if status == RESOURCE_EXHAUSTED:
        # gRPC's core says "Decompressed message ..." of either side's limit.
        return "size" if _TOO_LARGE.search(details) and not details.startswith("Decompressed") else "either"
    return "either" if status in (_INTERNAL, _UNKNOWN) else ""


def retry_info(trailers: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Return the wait that the RetryInfo in ``grpc-status-details-bin`` asks for, within 1 s and 900 s.

    RetryInfo without a delay says that a retry helps, not when: that is the shortest wait. None
    where there is no RetryInfo, or nothing that parses.
    """
    for name, value in trailers:
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return _retry_delay(value)
            except ValueError:
                return None
    return None


def _retry_delay(status: bytes) -> float | None:
    # google.rpc.Status.details = 3, of Any with type_url = 1 and value = 2; RetryInfo.retry_delay = 1, of
    # Duration with seconds = 1 and nanos = 2.
    for number, detail in wire_fields(status):
        if number != 3 or not isinstance(detail, bytes):
            continue
        found = dict(wire_fields(detail))
        if found.get(1) != _RETRY_INFO:
            continue
        info = found.get(2, b"")
        delay = dict(wire_fields(info)).get(1, b"") if isinstance(info, bytes) else b""
        duration = dict(wire_fields(delay)) if isinstance(delay, bytes) else {}
        seconds, nanos = duration.get(1, 0), duration.get(2, 0)
        if not isinstance(seconds, int) or not isinstance(nanos, int):
            return None
        if seconds >= 1 << 63:  # negative
            return bounded_wait(0.0)
        return bounded_wait(seconds + nanos % (1 << 32) / 1e9)
    return None
