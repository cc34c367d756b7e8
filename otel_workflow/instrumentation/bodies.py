"""What the records of a phase say, and the one place that writes them: journal first, then bus.

A body is built as JSON text, piece by piece, never as an object that is then encoded: nearly all
phases say the same few things, and a start and an end together must cost less than half a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_workflow.events import TRANSITIONS
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
from otel_workflow.masking import in_force, masked, masked_value
from otel_workflow.values import clean_attributes, clean_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, TraceState

    from otel_workflow.instrumentation.phases import Phase
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("end_body", "flags_of", "progress_body", "record", "run_body", "start_body")

_NUMBER = {name: number for number, name in enumerate(TRANSITIONS)}
_NO_PARENT = b"\x00" * 8
_MOST_NAMES = 1024
_named: dict[str, str] = {}


def _subject_of(spec: Spec) -> str:
    """Return the first part of a phase's event types: ``workflow`` for a run, else as given."""
    return "workflow" if spec.is_run and spec.subject == "phase" else spec.subject


def _defined(spec: Spec) -> str:
    """Return what the definition of a phase says in each of its records; made anew when a secret became known."""
    known = in_force()
    if spec.secrets is not known:
        spec.said, spec.secrets = _definition_of(spec), known
    return spec.said


def _definition_of(spec: Spec) -> str:
    name = spec.name
    said = _named.get(name) if type(name) is str and name in in_force().clean else None
    if said is None:
        said = f'"name":{quoted(clean_text(name, 1024))}'
        if len(_named) >= _MOST_NAMES:
            _named.clear()
        if type(name) is str and name in in_force().clean:
            _named[name] = said  # the names of phases repeat, and open ones share the text
    if (subject := _subject_of(spec)) != "phase":
        said += f',"subject":{quoted(clean_text(subject, 256))}'
    if spec.is_run and spec.action != "RUN":
        said += f',"action":{dumps(masked(spec.action))}'
    if spec.task_type:
        said += f',"task_type":{dumps(masked(spec.task_type))}'
    if spec.detail != "phase":
        said += f',"detail":{dumps(masked(spec.detail))}'
    if spec.attempt != 1:
        said += f',"attempt":{dumps(spec.attempt)}'
    if spec.source != "otel_workflow":
        said += f',"source":{dumps(masked(spec.source))}'
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
    said = _defined(spec) + phase._run_said
    if attributes:
        said += f',"attributes":{attributes}'
    if spec.payload is not None and (payload := _payload(phase)):
        said += f',"payload":{dumps(payload)}'
    if phase._apart and outer is not None:
        said += f',"parent_phase":"{outer.span_id}"'
    if phase._inferred:
        said += ',"inferred":true'
    return said


def progress_body(phase: Phase, report: dict[str, Any]) -> str:
    """Return what a progress record says; ``report`` is clean."""
    said = _defined(phase._spec) + phase._run_said
    return f'{said},"start":{phase._start_ns},"payload":{dumps({**_payload(phase), **report})}'


def end_body(phase: Phase, verdict: Verdict) -> str:
    """Return what an end record says, with all that the span gathered."""
    outcome = "success" if verdict is SUCCESS else verdict.outcome.value
    said = f'{_defined(phase._spec)}{phase._run_said},"start":{phase._start_ns},"outcome":"{outcome}"'
    if payload := _payload(phase):
        said += f',"payload":{dumps(payload)}'
    if verdict is not SUCCESS:
        said += _why(verdict)
    span = phase.span
    if isinstance(span, PhaseSpan) and span.gathered is not None:
        said += _gathered(span.gathered)
    return said


def _why(verdict: Verdict) -> str:
    said = f',"reason":{quoted(verdict.reason)}' if verdict.reason else ""
    if verdict.error_type:
        said += f',"error_type":{quoted(masked(verdict.error_type))}'
    return f'{said},"handed":true' if verdict.handed else said


def _gathered(span: Gathered) -> str:
    """Add what user code and libraries put on the span; masked again if a secret became known meanwhile."""
    own, events, links = span.own, span.span_events, span.links_made
    if span.secrets is not in_force():
        own = _masked(own)
        events = [(time_ns, masked(name), _masked(made)) for time_ns, name, made in events]
        links = [(trace, linked, _masked(made)) for trace, linked, made in links]
    said = f',"attributes":{dumps(own)}' if own else ""
    if events:
        said += f',"events":{dumps(events)}'
    if links:
        said += f',"links":{dumps(links)}'
    if span.is_ok:
        said += ',"status_ok":true'
    if any(span.dropped):
        said += f',"dropped":{dumps(span.dropped)}'
    return said


def _masked(attributes: dict[str, Any]) -> dict[str, Any]:
    return {masked(key): masked_value(key, value) for key, value in attributes.items()}


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
