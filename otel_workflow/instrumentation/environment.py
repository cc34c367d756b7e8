"""How a child process finds its parent: W3C trace context and two settings in its environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

if TYPE_CHECKING:
    from otel_workflow.instrumentation.recorder import Recorder

__all__ = ("describe", "parent_from", "publish", "traceparent")

_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(_KEY + r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MAX_MEMBERS, _MAX_STATE = 32, 32 * 515


def traceparent(context: SpanContext) -> str:
    """Return a context as a W3C ``traceparent`` header of version 00."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def parent_from(environ: Mapping[str, str]) -> SpanContext | None:
    """Return the parent that TRACEPARENT names, or None when it is absent or malformed.

    Parsed strictly, as https://www.w3.org/TR/trace-context/ asks; a malformed one is ignored.
    """
    found = _TRACEPARENT.match(environ.get("TRACEPARENT", "").strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    state = _state_from(environ.get("TRACESTATE", ""))
    context = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16) & 1), state)
    return context if context.is_valid else None


def _state_from(header: str) -> TraceState | None:
    """Return a ``tracestate``, or None for a malformed one, which OpenTelemetry's parser would repeat in a log."""
    if not header or len(header) > _MAX_STATE:
        return None
    members = [member for member in (each.strip(" \t") for each in header.split(",")) if member]
    if len(members) > _MAX_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return None
    return TraceState.from_header(members)


def describe(context: SpanContext, workflow: str, directory: str | None) -> dict[str, str]:
    """Return the variables that make a child process a child of the span with this context."""
    made = {"TRACEPARENT": traceparent(context)}
    if context.trace_state:
        made["TRACESTATE"] = context.trace_state.to_header()
    if workflow:
        made["OW_WORKFLOW"] = workflow
    if directory:
        made["OW_JOURNAL"] = str(directory)
    return made


_NAMES = ("TRACEPARENT", "TRACESTATE", "OW_WORKFLOW")


def publish(recorder: Recorder) -> None:
    """Put the process's only open run into ``os.environ``, so that plain child processes join it.

    With two open runs nobody could say which one a child belongs to: then nothing is said. With
    none left, what stood there before any run of ours stands there again.
    """
    if not recorder.publishes_environment:
        return
    runs = list(recorder.open_runs.values())
    made = runs[0]._environment() if len(runs) == 1 else {}
    for name in _NAMES:
        if name in made:
            os.environ[name] = made[name]
        else:
            os.environ.pop(name, None)
    if not runs:
        os.environ.update(recorder.environment_before)
