"""The life of a phase: begin, progress, end.

Every step writes the journal first, on the caller's thread, then hands an event to the bus if
anybody listens. Nothing here awaits, blocks or logs, nor calls a foreign SDK in the native lane.

A KeyboardInterrupt may come between any two lines. So a start and an end are made first and written
afterwards, and what was broken off in between can be put right: ``abandon`` and ``finish_again``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Status, StatusCode

from otel_workflow import semconv
from otel_workflow.events import Outcome, transition_of
from otel_workflow.guard import completed
from otel_workflow.instrumentation import environment
from otel_workflow.instrumentation.attributes import Kept, mapping_of, written
from otel_workflow.instrumentation.bodies import (
    APART,
    COMPLETED,
    INFERRED,
    NUMBER_OF,
    STARTED,
    end_body,
    flags_of,
    made_record,
    put,
    start_body,
)
from otel_workflow.instrumentation.children import child_of
from otel_workflow.instrumentation.context import current, enter, leave, surroundings, task_key
from otel_workflow.instrumentation.orphans import is_orphan
from otel_workflow.instrumentation.parentage import find_parent, run_of
from otel_workflow.instrumentation.phases import INERT, Phase, Workflow
from otel_workflow.instrumentation.progress import write_held
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.instrumentation.spans import close_sdk_span, make_span, record_masked
from otel_workflow.instrumentation.verdict import (
    MAX_REASON,
    SUCCESS,
    Verdict,
    describe,
    of_exception,
)
from otel_workflow.journal.record import NESTED
from otel_workflow.masking import masked, watch_environment
from otel_workflow.values import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("abandon", "begin", "finish", "finish_again", "prepare", "start")

_COUNTED = 128
"""A flag that only we know: the journal counts it as open."""
_NO_PARENT = b"\x00" * 8


def begin(
    spec: Spec, recorder: Recorder, attributes: Mapping[str, Any] | None = None, at_ns: int | None = None
) -> Phase:
    """Open a phase that no block ends: make it, journal its start, make it current.

    ``at_ns`` is when it began, for one that is told of afterwards; by default now.
    """
    phase = prepare(spec, attributes, recorder, at_ns)
    return completed(INERT, _started, _abandoned, phase, None, None)


def _started(phase: Phase, _two: None, _three: None) -> Phase:
    start(phase)
    return phase


def _abandoned(broken: BaseException, phase: Phase, _two: None, _three: None) -> None:
    abandon(phase, broken)


def prepare(spec: Spec, attributes: Mapping[str, Any] | None, recorder: Recorder, at_ns: int | None = None) -> Phase:
    """Make a phase that is still to start: find its parent, make its start record; nothing is written yet."""
    watch_environment()
    previous, outer, between = surroundings()
    if outer is not None and outer._holder is not None and is_orphan(outer):
        _end_orphans(outer)
        previous, outer, between = surroundings()
    time_ns, mono = recorder.clock.now()
    if at_ns is not None:
        time_ns = at_ns
    kept, said = written(attributes)
    phase = None
    if outer is not None and between is None:
        phase = child_of(outer, spec, recorder, previous, time_ns, time_ns - mono, kept)
    if phase is None:
        phase = _place(spec, recorder, previous, outer, between, (time_ns, mono), kept)
    phase._due = made_record(phase, STARTED, time_ns, mono, start_body(phase, said))
    return phase


def start(phase: Phase) -> None:
    """Journal the start of a prepared phase, and make it current."""
    run = phase._run
    recorder = run.recorder
    if recorder is None:
        return
    if not run.is_native:
        phase.span.add_event(*semconv.lifecycle_event(masked(phase._spec.subject), None), timestamp=phase._start_ns)
    if recorder.on_start is not None:
        recorder.on_start(phase.span, phase._previous)
    payload, journal = phase._due, recorder.journal
    if payload is not None:
        phase._sequence = 1
        put(phase, recorder, payload)
        phase._due = None
    if journal is not None:
        journal.phase_opened()
        phase._flags |= _COUNTED
    if phase._spec.is_run and not phase._flags & NESTED:
        recorder.open_runs[id(phase)] = phase
        environment.publish(recorder)
    enter(phase)


def abandon(phase: Phase, broken: BaseException) -> None:
    """End a phase whose start was broken off as cancelled, if anybody can have heard of it."""
    recorder = phase._run.recorder
    if recorder is not None and phase._end_ns is None:
        phase._due = None
        if phase._sequence or recorder.lane == "sdk" or recorder.on_start is not None:
            left = of_exception(broken)
            is_cancelled = left.outcome is Outcome.CANCELLATION
            phase._marked().verdict = left if is_cancelled else Verdict(Outcome.CANCELLATION, describe(broken))
            finish(phase, None)
        phase._end_ns = phase._end_ns or phase._start_ns


def _end_orphans(phase: Phase | None) -> None:
    """End phases that nobody can end any more, from the innermost out.

    An interrupt at the very first instruction of a scope's ``__exit__`` leaves them behind, and
    when its traceback has gone the scope has gone too.
    """
    while phase is not None and phase._holder is not None and is_orphan(phase):
        if phase._end_ns is None:
            phase.cancel("its block was broken off")
        finish_again(phase, None)
        phase = phase._outer


def _end_inside(phase: Phase, error: BaseException) -> None:
    """End what an interrupt has left open inside a phase that it leaves now: the same way, at the same time."""
    found, left = current(), []
    while found is not None and found is not phase:
        left.append(found)
        found = found._outer
    for inner in left if found is phase else ():
        if inner._holder is not None and inner._task == phase._task:
            finish_again(inner, error)


def _place(
    spec: Spec,
    recorder: Recorder,
    previous: Context,
    outer: Phase | None,
    between: Any,
    times: tuple[int, int],
    kept: Kept,
) -> Phase:
    """Find out where a phase belongs, and make it with its span."""
    for run in tuple(recorder.open_runs.values()):
        _end_orphans(run)
    parent, outer, inferred = find_parent(spec, recorder, outer, between)
    span = make_span(spec, recorder, parent, outer, previous, times[0], mapping_of(kept))
    if isinstance(span, PhaseSpan):
        trace, span_id, above = span.ids[:16], span.ids[16:24], span.ids[24:]
        state, sampled = span.trace_state, span.sampled
    else:
        context, foreign = span.get_span_context(), getattr(span, "parent", None)
        trace, span_id = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
        above = _NO_PARENT if foreign is None else foreign.span_id.to_bytes(8, "big")
        state, sampled = context.trace_state, context.trace_flags.sampled
    nested = outer is not None or (parent is not None and recorder.environment_nested)
    run = run_of(spec, recorder, outer, trace, state, sampled=sampled, nested=nested)
    flags = flags_of(spec, run, parent) | (NESTED if nested else 0) | (INFERRED if inferred else 0)
    # A library's span may stand between the phase and the one around it.
    if outer is not None and parent is not None and outer._span_id != parent.span_id.to_bytes(8, "big"):
        flags |= APART
    start_ns, offset, kind = times[0], times[0] - times[1], Workflow if spec.is_run else Phase
    phase = kind(spec, run, outer, previous, span_id, above, start_ns, offset, flags, task_key(), kept)
    phase._span = span
    return phase


def finish(phase: Phase, error: BaseException | None, at_ns: int | None = None) -> None:
    """End a phase: find its verdict, hand a failure up, journal the end, tell the bus.

    The end is the start plus what the monotonic clock counted, unless ``at_ns`` says when it was.
    """
    run, span = phase._run, phase._span
    recorder = run.recorder
    if recorder is None or phase._end_ns is not None:
        return
    if run.pid != os.getpid():  # a forked child walks out of its parent's block: not its end
        leave(phase)
        return
    if error is not None and not isinstance(error, Exception):
        _end_inside(phase, error)
    _, mono = recorder.clock.now()
    time_ns = max(mono + phase._offset if at_ns is None else at_ns, phase._start_ns)
    watch_environment()
    verdict, transition = SUCCESS, COMPLETED
    # Usually nobody marked it, handed anything up to it or put anything on its span.
    if error is not None or phase._marks is not None or (span is not None and _has_more(span)):
        verdict = _verdict(phase, error)
        transition = NUMBER_OF[transition_of(verdict.outcome)]
        if phase._marks is not None:
            write_held(phase, time_ns, mono)
    if verdict is not SUCCESS or phase._spec.attempt > 1:
        _hand_up(phase, verdict, error)
    if not run.is_native:
        close_sdk_span(phase, verdict, time_ns)
    made = made_record(phase, transition, time_ns, mono, end_body(phase, verdict))
    phase._due, phase._end_ns = made, time_ns  # both or none: what was broken off is told apart by them
    _close(phase, recorder)


def _has_more(span: Any) -> bool:
    return not isinstance(span, PhaseSpan) or span.gathered is not None


def finish_again(phase: Phase, error: BaseException | None, at_ns: int | None = None) -> None:
    """Do what is left of an end that was broken off; nothing if nothing is."""
    recorder = phase._run.recorder
    if phase._end_ns is None:
        finish(phase, error, at_ns)
    elif phase._due is not None and recorder is not None:
        _close(phase, recorder)
    leave(phase)


def _close(phase: Phase, recorder: Recorder) -> None:
    """Write the end that is due, and take the phase out of all that is open."""
    payload, span, journal = phase._due, phase._span, recorder.journal
    if payload is not None:  # written once more, it is the same bytes, and a reader sees one
        if span is not None and isinstance(span, PhaseSpan):
            span.end_time = phase._end_ns
        put(phase, recorder, payload)
    if phase._spec.is_run and recorder.open_runs.pop(id(phase), None) is not None:
        environment.publish(recorder)
    leave(phase)
    phase._due = None  # the rest must not be done twice
    if phase._flags & _COUNTED and journal is not None:
        journal.phase_closed()
    if recorder.on_end is not None:
        recorder.on_end(phase.span)


def _verdict(phase: Phase, error: BaseException | None) -> Verdict:
    """Tell how a phase ended, as it is recorded: masked, and every error with a type."""
    verdict = _weighed(phase, error)
    if verdict.is_error and not verdict.error_type:
        verdict = replace(verdict, error_type=semconv.ERROR_TYPE_OTHER)
    reason = masked(verdict.reason)
    return verdict if reason is verdict.reason else replace(verdict, reason=reason)


def _weighed(phase: Phase, error: BaseException | None) -> Verdict:
    """Weigh the mark, the exception and what inner phases handed up (the table of FACE §2).

    An exception outranks marks of peace; a mark of failure keeps its reason beside an exception.
    """
    marks = phase._marks
    marked = None if marks is None else marks.verdict
    if error is not None:
        left = of_exception(error)
        if left.outcome is not Outcome.SUCCESS:
            _note_exception(phase, error, left)
            if marked is None or not marked.is_error:
                return left
            return replace(marked, reason=marked.reason or left.reason, error_type=marked.error_type or left.error_type)
    if marked is not None:
        return marked
    status = getattr(phase._span, "status", None)
    if isinstance(status, Status) and status.status_code is StatusCode.ERROR:
        return Verdict(Outcome.FAILURE, clean_text(status.description or "", MAX_REASON))
    if marks is not None and marks.handed:
        name, inner = next(iter(marks.handed.items()))
        return replace(inner, reason=f"{name}: {inner.reason}" if inner.reason else name, handed=True)
    return SUCCESS


def _note_exception(phase: Phase, error: BaseException, verdict: Verdict) -> None:
    """Record the exception where it was first seen; enclosing phases only carry the verdict."""
    if verdict.is_error and (phase._marks is None or phase._marks.seen_exception != id(error)):
        if isinstance(phase.span, PhaseSpan):
            phase.span.record_exception(error)
        else:
            record_masked(phase.span, error)
    if phase._outer is not None:
        phase._outer._marked().seen_exception = id(error)


def _hand_up(phase: Phase, verdict: Verdict, error: BaseException | None) -> None:
    """Hand a mark of failure up; exceptions travel by themselves; a good retry takes it back."""
    spec, outer = phase._spec, phase._outer
    if outer is None or outer._end_ns is not None:
        return
    if verdict.outcome is Outcome.SUCCESS:
        if spec.attempt > 1:
            outer._marked().handed.pop(spec.name, None)
    elif verdict.is_error and error is None and not spec.allow_failure:
        outer._marked().handed[spec.name] = verdict
