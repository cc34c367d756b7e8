"""Describes a span that no backend will take, whole enough to be looked at and to be sent after all."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.pump import Waiting
from otel_workflow.bridge.shipment import words_of

__all__ = ("letter_of",)


def letter_of(waiting: Waiting, answer: Answer) -> dict[str, Any]:
    """Return the dead letter of a span: why, and its bytes and those of its resource and scope in base64."""
    resource, resource_url, scope, scope_url = waiting.group
    try:
        said = dict(wire_fields(waiting.span))
    except ValueError:
        said = {}
    trace_id, span_id, name = (value if isinstance(value := said.get(n), bytes) else b"" for n in (1, 2, 5))
    return {
        "reason": words_of(answer),
        "status": answer.status,
        "trace_id": trace_id.hex(),
        "span_id": span_id.hex(),
        "name": name[:256].decode("utf-8", "replace"),
        "span": _base64(waiting.span),
        "resource": _base64(resource),
        "resource_schema": resource_url,
        "scope": _base64(scope),
        "scope_schema": scope_url,
    }


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
