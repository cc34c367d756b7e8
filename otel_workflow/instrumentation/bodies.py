"""What the records of a phase say, and the one place that writes them: journal first, then bus.

A body is built as JSON text, piece by piece, never as an object that is then encoded: nearly all
phases say the same few things, and a start and an end together must cost less than half a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_workflow.events import TRANSITIONS
from otel_workflow.instrumentation.span import Gathered, PhaseSpan
from otel_workflow.instrumentation.verdict import SUCCESS, Verdict
from otel_workflow.journal.record import (
    EVENT_HEAD,
    IS_RUN,
    MAKER_SDK,
    NESTED,
    PARENT_REMOTE,
    SAMPLED,
    VERSION,
    decode_event,
    dumps,
    quoted,
)
from otel_workflow.journal.writer import EVENT
from otel_workflow.masking import in_force, masked, masked_value
from otel_workflow.values import clean_attributes, clean_text

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_workflow.instrumentation.phases import Phase
    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.run_facts import RunFacts
    from otel_workflow.instrumentation.spec import Spec

__all__ = (
    "APART",
    "COMPLETED",
    "INFERRED",
    "NUMBER_OF",
    "PROGRESS",
    "STARTED",
    "end_body",
    "flags_of",
    "made_record",
    "progress_body",
    "put",
    "start_body",
)

NUMBER_OF = {name: number for number, name in enumerate(TRANSITIONS)}
"""The number of a transition in a record."""
STARTED, PROGRESS, COMPLETED = NUMBER_OF["started"], NUMBER_OF["progress"], NUMBER_OF["completed"]
APART, INFERRED = 32, 64
"""Flags that only we know: a library's span stands above the phase; its parent was only inferred."""
_RECORDED = SAMPLED | PARENT_REMOTE | MAKER_SDK | IS_RUN | NESTED
_pack = EVENT_HEAD.pack


def _subject_of(spec: Spec) -> str:
    """Return the first part of a phase's event types: ``workflow`` for a run, else as given."""
    return "workflow" if spec.is_run and spec.subject == "phase" else spec.subject


def _known(phase: Phase) -> str:
    """Return what each record of a phase says of its definition and its run; made anew when a secret became known."""
    spec, run = phase._spec, phase._run.said
    secrets, whose, said, definition = spec.said
    if secrets is not (known := in_force()):
        definition, whose = _definition_of(spec), None
    if whose is not run:
        said = definition + run
        spec.said = known, run, said, definition
    return said


def _definition_of(spec: Spec) -> str:
    said = f'"name":{quoted(clean_text(spec.name, 1024))}'
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


def _payload(phase: Phase) -> dict[str, Any]:
    """The keys that the caller adds to the payload of a phase's events."""
    ending = None if phase._marks is None else phase._marks.ending
    payload = phase._spec.payload if ending is None else ending
    return {} if payload is None else clean_attributes(payload)


def start_body(phase: Phase, attributes: str) -> str:
    """Return what a start record says beyond ids and times; ``attributes`` are JSON already."""
    spec, outer = phase._spec, phase._outer
    said = _known(phase)
    if attributes:
        said += f',"attributes":{attributes}'
    if spec.payload is not None and (payload := _payload(phase)):
        said += f',"payload":{dumps(payload)}'
    if phase._flags & (APART | INFERRED):
        if phase._flags & APART and outer is not None:
            said += f',"parent_phase":"{outer.span_id}"'
        if phase._flags & INFERRED:
            said += ',"inferred":true'
    return said


def progress_body(phase: Phase, report: dict[str, Any]) -> str:
    """Return what a progress record says; ``report`` is clean."""
    said = _known(phase)
    return f'{said},"start":{phase._start_ns},"payload":{dumps({**_payload(phase), **report})}'


def end_body(phase: Phase, verdict: Verdict) -> str:
    """Return what an end record says, with all that the span gathered."""
    outcome = "success" if verdict is SUCCESS else verdict.outcome.value
    spec, span = phase._spec, phase._span
    said = f'{_known(phase)},"start":{phase._start_ns},"outcome":"{outcome}"'
    if (spec.payload is not None or phase._marks is not None) and (payload := _payload(phase)):
        said += f',"payload":{dumps(payload)}'
    if verdict is not SUCCESS:
        said += _why(verdict)
    if span is not None and isinstance(span, PhaseSpan) and span.gathered is not None:
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


def flags_of(spec: Spec, run: RunFacts, parent: SpanContext | None) -> int:
    """Return the flags that stand in every record of a phase, but for NESTED."""
    flags = SAMPLED if run.sampled else 0
    if run.recorder is not None and run.recorder.lane == "sdk":
        flags |= MAKER_SDK
    if spec.is_run:
        flags |= IS_RUN
    if parent is not None and parent.is_remote:
        flags |= PARENT_REMOTE
    return flags


def made_record(phase: Phase, transition: int, time_ns: int, mono: int, said: str) -> bytes:
    """Return a phase's next record; nobody has written it yet, and the phase's count stands still."""
    run = phase._run
    text = f'{{{said}{run.tail},"seq":{phase._sequence + 1}}}'
    flags, above = phase._flags & _RECORDED, phase._above
    return _pack(VERSION, transition, flags, 0, run.trace, phase._span_id, above, time_ns, mono) + text.encode()


def put(phase: Phase, recorder: Recorder, payload: bytes) -> None:
    """Journal a record first; then the bus, and only if somebody listens."""
    journal = recorder.journal
    if journal is not None:
        journal.write(EVENT, payload)
        if recorder.wake is not None:
            recorder.wake()
    if recorder.bus.has_listeners and not phase._spec.published:
        recorder.bus.emit(decode_event(payload))
