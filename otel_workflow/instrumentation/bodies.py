"""What the records of a phase say, and the one place that writes them: journal first, then bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext, StatusCode

from otel_workflow.events import TRANSITIONS
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.journal.record import (
    IS_RUN,
    MAKER_SDK,
    NESTED,
    PARENT_REMOTE,
    SAMPLED,
    decode_event,
    encode_event,
)
from otel_workflow.journal.writer import EVENT
from otel_workflow.masking import in_force, masked, masked_value
from otel_workflow.values import clean_attributes, clean_text

if TYPE_CHECKING:
    from otel_workflow.instrumentation.phases import Phase
    from otel_workflow.instrumentation.verdict import Verdict

__all__ = ("end_body", "identity", "record", "start_body", "subject_of")

_NUMBER = {name: number for number, name in enumerate(TRANSITIONS)}
_NO_PARENT = b"\x00" * 8


def subject_of(phase: Phase) -> str:
    """Return the first part of the phase's event types: ``workflow`` for a run, else as given."""
    spec = phase._spec
    return "workflow" if spec.is_run and spec.subject == "phase" else spec.subject


def identity(phase: Phase) -> dict[str, Any]:
    """What every record of a phase says, so that one record alone can be drawn."""
    spec = phase._spec
    body: dict[str, Any] = {"name": clean_text(spec.name, 1024), "run": phase.run_id}
    if phase._workflow_name:
        body["workflow"] = phase._workflow_name
    if (subject := subject_of(phase)) != "phase":
        body["subject"] = clean_text(subject, 256)
    if spec.is_run and spec.action != "RUN":
        body["action"] = masked(spec.action)
    if spec.task_type:
        body["task_type"] = masked(spec.task_type)
    if spec.detail != "phase":
        body["detail"] = masked(spec.detail)
    if spec.attempt != 1:
        body["attempt"] = spec.attempt
    payload = phase._ending if phase._ending is not None else spec.payload
    if payload is not None and (said := clean_attributes(payload)):
        body["payload"] = said
    if spec.source != "otel_workflow":
        body["source"] = masked(spec.source)
    return body


def start_body(phase: Phase, parent: SpanContext | None) -> dict[str, Any]:
    """Return what a start record says beyond ids and times."""
    body = identity(phase)
    initial = getattr(phase.span, "initial", None) or clean_attributes(phase._spec.attributes)
    if initial:
        body["attributes"] = initial
    outer = phase._outer
    if outer is not None and parent is not None and outer.span_id != f"{parent.span_id:016x}":
        body["parent_phase"] = outer.span_id
    if phase._inferred:
        body["inferred"] = True
    return body


def end_body(phase: Phase, verdict: Verdict) -> dict[str, Any]:
    """Return what an end record says, with all that the span gathered."""
    body = identity(phase)
    body["start"] = phase._start_ns
    body["outcome"] = verdict.outcome.value
    if verdict.reason:
        body["reason"] = verdict.reason
    if verdict.error_type:
        body["error_type"] = masked(verdict.error_type)
    if verdict.handed:
        body["handed"] = True
    if isinstance(phase.span, PhaseSpan):
        _add_gathered(body, phase.span)
    return body


def _add_gathered(body: dict[str, Any], span: PhaseSpan) -> None:
    """Add what user code and libraries put on the span; masked again if a secret became known meanwhile."""
    again = span.secrets is not in_force()
    if span.own:
        body["attributes"] = _masked(span.own) if again else span.own
    if span.span_events:
        events = span.span_events
        body["events"] = [(time, masked(name), _masked(made)) for time, name, made in events] if again else events
    if span.links_made:
        links = span.links_made
        body["links"] = [(trace, linked, _masked(made)) for trace, linked, made in links] if again else links
    if span.status.status_code is StatusCode.OK:
        body["status_ok"] = True
    if any(span.dropped):
        body["dropped"] = span.dropped


def _masked(attributes: dict[str, Any]) -> dict[str, Any]:
    return {masked(key): masked_value(key, value) for key, value in attributes.items()}


def record(phase: Phase, transition: str, time_ns: int, mono: int, body: dict[str, Any]) -> None:
    """Journal first; then the bus, and only if somebody listens."""
    recorder = phase._recorder
    if recorder is None:
        return
    listeners = recorder.bus.has_listeners and not phase._spec.published
    if recorder.journal is None and not listeners:
        return
    phase._sequence += 1
    body["seq"] = phase._sequence
    payload = _flat(phase, transition, time_ns, mono, body)
    if recorder.journal is not None:
        recorder.journal.write(EVENT, payload)
        if recorder.wake is not None:
            recorder.wake()
    if listeners:
        recorder.bus.emit(decode_event(payload))


def _flat(phase: Phase, transition: str, time_ns: int, mono: int, body: dict[str, Any]) -> bytes:
    context = phase.span.get_span_context()
    parent: SpanContext | None = getattr(phase.span, "parent", None)
    flags = SAMPLED if context.trace_flags.sampled else 0
    if parent is not None and parent.is_remote:
        flags |= PARENT_REMOTE
    if phase._recorder is not None and phase._recorder.lane == "sdk":
        flags |= MAKER_SDK
    if phase._spec.is_run:
        flags |= IS_RUN
    if phase._nested:
        flags |= NESTED
    if context.trace_state:
        body["tracestate"] = context.trace_state.to_header()
    return encode_event(
        _NUMBER[transition],
        flags,
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
        parent.span_id.to_bytes(8, "big") if parent is not None else _NO_PARENT,
        time_ns,
        mono,
        body,
    )
