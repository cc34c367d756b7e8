"""What the records of a phase say, and the one place that writes them: journal first, then bus.

A body is built as JSON text, piece by piece, never as an object that is then encoded: nearly all
phases say the same few things, and a start and an end together must cost less than half a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_workflow.events import TRANSITIONS
from otel_workflow.instrumentation.attributes import attributes_text
from otel_workflow.instrumentation.span import NO_STATE, Gathered, PhaseSpan
from otel_workflow.instrumentation.verdict import SUCCESS, Verdict
from otel_workflow.journal.record import (
    IS_RUN,
    MAKER_SDK,
    NESTED,
    PARENT_REMOTE,
    SAMPLED,
    decode_event,
    dumps,
    event_payload,
    quoted,
)
from otel_workflow.journal.writer import EVENT
from otel_workflow.masking import masked
from otel_workflow.values import clean_attributes, clean_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, TraceState

    from otel_workflow.instrumentation.phases import Phase
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("end_body", "flags_of", "progress_body", "record", "run_body", "start_body")

_NUMBER = {name: number for number, name in enumerate(TRANSITIONS)}
_NO_PARENT = b"\x00" * 8


def _subject_of(spec: Spec) -> str:
    """Return the first part of a phase's event types: ``workflow`` for a run, else as given."""
    return "workflow" if spec.is_run and spec.subject == "phase" else spec.subject


def _defined(spec: Spec) -> str:
    """Return what the definition of a phase says in each of its records."""
    said = f'"name":{quoted(clean_text(spec.name, 1024))}'
    if (subject := _subject_of(spec)) != "phase":
        said += f',"subject":{dumps(subject)}'
    if spec.is_run and spec.action != "RUN":
        said += f',"action":{dumps(spec.action)}'
    if spec.task_type:
        said += f',"task_type":{dumps(spec.task_type)}'
    if spec.detail != "phase":
        said += f',"detail":{dumps(spec.detail)}'
    if spec.attempt != 1:
        said += f',"attempt":{dumps(spec.attempt)}'
    if spec.source != "otel_workflow":
        said += f',"source":{dumps(spec.source)}'
    return said


def run_body(run_id: str, workflow: str) -> str:
    """Return what the run says in each record of its phases; made once for the run and handed down."""
    return f',"run":{quoted(run_id)},"workflow":{quoted(workflow)}' if workflow else f',"run":{quoted(run_id)}'


def _payload(phase: Phase) -> dict[str, Any]:
    """The keys that the caller adds to the payload of a phase's events."""
    payload = phase._ending if phase._ending is not None else phase._spec.payload
    return {} if payload is None else clean_attributes(payload)


def start_body(phase: Phase, attributes: str) -> str:
    """Return what a start record says beyond ids and times; ``attributes`` are JSON already."""
    spec, outer = phase._spec, phase._outer
    if not spec.said:
        spec.said = _defined(spec)
    said = spec.said + phase._run_said
    if attributes:
        said += f',"attributes":{attributes}'
    if spec.payload is not None and (payload := _payload(phase)):
        said += f',"payload":{attributes_text(payload)}'
    if phase._apart and outer is not None:
        said += f',"parent_phase":"{outer.span_id}"'
    if phase._inferred:
        said += ',"inferred":true'
    return said


def progress_body(phase: Phase, report: dict[str, Any]) -> str:
    """Return what a progress record says; ``report`` is clean."""
    said = phase._spec.said + phase._run_said
    return f'{said},"start":{phase._start_ns},"payload":{attributes_text({**_payload(phase), **report})}'


def end_body(phase: Phase, verdict: Verdict) -> str:
    """Return what an end record says, with all that the span gathered."""
    outcome = "success" if verdict is SUCCESS else verdict.outcome.value
    said = f'{phase._spec.said}{phase._run_said},"start":{phase._start_ns},"outcome":"{outcome}"'
    if payload := _payload(phase):
        said += f',"payload":{attributes_text(payload)}'
    if verdict is not SUCCESS:
        said += _why(verdict)
    span = phase.span
    if isinstance(span, PhaseSpan) and span.gathered is not None:
        said += _gathered(span.gathered)
    return said


def _why(verdict: Verdict) -> str:
    said = f',"reason":{quoted(masked(verdict.reason))}' if verdict.reason else ""
    if verdict.error_type:
        said += f',"error_type":{quoted(verdict.error_type)}'
    return f'{said},"handed":true' if verdict.handed else said


def _gathered(span: Gathered) -> str:
    """Add what user code and libraries put on the span, with every text masked."""
    said = ""
    if span.own:
        said += f',"attributes":{attributes_text(span.own)}'
    if span.span_events:
        events = [f"[{time},{quoted(masked(name))},{attributes_text(made)}]" for time, name, made in span.span_events]
        said += f',"events":[{",".join(events)}]'
    if span.links_made:
        said += f',"links":{dumps(span.links_made)}'
    if span.is_ok:
        said += ',"status_ok":true'
    if any(span.dropped):
        said += f',"dropped":{dumps(span.dropped)}'
    return said


def flags_of(phase: Phase, parent: SpanContext | None) -> int:
    """Return the flags that stand in every record of a phase."""
    span, recorder = phase.span, phase._recorder
    if isinstance(span, PhaseSpan):
        flags = SAMPLED if span.sampled else 0
    else:
        flags = SAMPLED if span.get_span_context().trace_flags.sampled else 0
    if recorder is not None and recorder.lane == "sdk":
        flags |= MAKER_SDK
    if phase._spec.is_run:
        flags |= IS_RUN
    if phase._nested:
        flags |= NESTED
    if parent is not None and parent.is_remote:
        flags |= PARENT_REMOTE
    return flags


def record(phase: Phase, transition: str, time_ns: int, mono: int, said: str) -> None:
    """Journal first; then the bus, and only if somebody listens."""
    recorder = phase._recorder
    if recorder is None:
        return
    journal, listeners = recorder.journal, recorder.bus.has_listeners and not phase._spec.published
    if journal is None and not listeners:
        return
    phase._sequence = sequence = phase._sequence + 1
    span = phase.span
    ids, state = (span.ids, span.trace_state) if isinstance(span, PhaseSpan) else _of_foreign(span)
    if state is not NO_STATE and state:
        said += f',"tracestate":{quoted(state.to_header())}'
    text = f'{{{said},"seq":{sequence}}}'
    payload = event_payload(_NUMBER[transition], phase._flags, ids, time_ns, mono, text)
    if journal is not None:
        journal.write(EVENT, payload)
        if recorder.wake is not None:
            recorder.wake()
    if listeners:
        recorder.bus.emit(decode_event(payload))


def _of_foreign(span: Span) -> tuple[bytes, TraceState]:
    """Return ids and trace state of a span that a foreign SDK made."""
    context, parent = span.get_span_context(), getattr(span, "parent", None)
    above = parent.span_id.to_bytes(8, "big") if parent is not None else _NO_PARENT
    return context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big") + above, context.trace_state
