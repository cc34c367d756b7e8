"""Makes the span of a phase, in either lane, and ends a foreign one."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from otel_workflow import semconv
from otel_workflow.guard import guarded, text_of
from otel_workflow.instrumentation.parentage import is_sampled
from otel_workflow.instrumentation.span import NO_STATE, PhaseSpan, end_of
from otel_workflow.journal.record import NESTED
from otel_workflow.masking import masked
from otel_workflow.values import clean_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_workflow.instrumentation.phases import Phase
    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec
    from otel_workflow.instrumentation.verdict import Verdict

__all__ = ("close_sdk_span", "make_span", "record_masked")

_INTERNAL = SpanKind.INTERNAL
_NO_PARENT = b"\x00" * 8


def make_span(
    spec: Spec,
    recorder: Recorder,
    parent: SpanContext | None,
    outer: Phase | None,
    previous: Context,
    time_ns: int,
    initial: Mapping[str, Any],
) -> Any:
    """Return the phase's span: ours, or the foreign provider's in the SDK lane."""
    kind, name = _INTERNAL, spec.name
    if spec.is_run and outer is None and not (recorder.environment_nested and parent is not None):
        kind, name = SpanKind.SERVER, semconv.run_span_name(spec.action, spec.name)
    name = masked(name)
    if recorder.lane == "sdk" and recorder.tracer is not None:
        return _sdk_span(spec, recorder, parent, previous, name, kind, initial, time_ns)
    number = recorder.ids.span_id()
    if parent is None:
        trace_id, state = recorder.ids.trace_id(), NO_STATE
        ids = trace_id.to_bytes(16, "big") + number.to_bytes(8, "big") + _NO_PARENT
    else:
        trace_id, state = parent.trace_id, parent.trace_state
        ids = b"%b%b%b" % (trace_id.to_bytes(16, "big"), number.to_bytes(8, "big"), parent.span_id.to_bytes(8, "big"))
    sampled = is_sampled(recorder, parent, outer, trace_id, name, initial)
    made = PhaseSpan(name, ids, parent, time_ns, recorder, sampled, kind, state, initial)
    for link in spec.links:
        made.add_link(link.context, link.attributes)
    return made


def _sdk_span(
    spec: Spec,
    recorder: Recorder,
    parent: SpanContext | None,
    previous: Context,
    name: str,
    kind: SpanKind,
    initial: Mapping[str, Any],
    time_ns: int,
) -> Any:
    """Let the foreign provider make the span; what stands on ours from the end stands on it too."""
    context = previous if parent is None else set_span_in_context(NonRecordingSpan(parent), previous)
    tracer: Any = recorder.tracer
    links = [Link(link.context, clean_attributes(link.attributes)) for link in spec.links]
    return tracer.start_span(name, context, kind, {**initial}, links, start_time=time_ns)


def record_masked(span: Any, error: BaseException) -> None:
    """Record an exception on a foreign SDK's span, with its message and stack trace masked."""
    stack = guarded("", lambda: "".join(traceback.format_exception(error)))
    made = clean_attributes({semconv.EXCEPTION_MESSAGE: text_of(error), semconv.EXCEPTION_STACKTRACE: end_of(stack)})
    span.record_exception(error, made)


def close_sdk_span(phase: Phase, verdict: Verdict, time_ns: int) -> None:
    """Put on a foreign SDK's span what the bridge would put on ours, and end it."""
    spec, span = phase._spec, phase.span
    is_run = spec.is_run and not phase._flags & NESTED
    if is_run:
        span.set_attributes(semconv.run_attributes(phase._workflow_name, phase.run_id, spec.action))
    else:
        span.set_attributes(
            semconv.task_attributes(masked(spec.name), phase.span_id, spec.task_type, spec.attempt, spec.detail)
        )
    span.set_attributes(
        semconv.end_attributes(verdict.outcome, is_run=is_run, reason=verdict.reason, error_type=verdict.error_type)
    )
    subject = "workflow" if spec.is_run and spec.subject == "phase" else masked(spec.subject)
    span.add_event(
        *semconv.lifecycle_event(
            subject,
            verdict.outcome,
            duration_ns=time_ns - phase._start_ns,
            reason=verdict.reason,
            error_type=verdict.error_type,
        ),
        timestamp=time_ns,
    )
    if verdict.is_error:
        span.set_status(Status(StatusCode.ERROR, verdict.reason or None))
    span.end(time_ns)
