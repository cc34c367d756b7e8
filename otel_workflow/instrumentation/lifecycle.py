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
from weakref import ref

from opentelemetry.trace import Status, StatusCode

from otel_workflow import semconv
from otel_workflow.events import Outcome, transition_of
from otel_workflow.guard import completed
from otel_workflow.instrumentation import environment
from otel_workflow.instrumentation.attributes import written
from otel_workflow.instrumentation.bodies import end_body, flags_of, progress_body, record, start_body
from otel_workflow.instrumentation.children import child_of
from otel_workflow.instrumentation.context import current, enter, leave, surroundings, task_key
from otel_workflow.instrumentation.parentage import find_parent, name_run
from otel_workflow.instrumentation.phases import INERT, Phase, Workflow
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.instrumentation.spans import close_sdk_span, make_span, record_masked
from otel_workflow.instrumentation.verdict import (
    MAX_REASON,
    SUCCESS,
    Verdict,
    describe,
    of_exception,
)
from otel_workflow.masking import masked, watch_environment
from otel_workflow.values import clean_attributes, clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("abandon", "begin", "finish", "finish_again", "prepare", "report_progress", "start")

_PROGRESS_NS = 100_000_000


def begin(spec: Spec, recorder: Recorder, at_ns: int | None = None) -> Phase:
    """Open a phase: make it, journal its start, make it current.

    ``at_ns`` is when it began, for one that is told of afterwards; by default now.
    """
    return completed(INERT, start, abandon, prepare(spec, recorder, at_ns), [], None)


def prepare(spec: Spec, recorder: Recorder, at_ns: int | None = None) -> Phase:
    """Make a phase that is still to start: find its parent, make its span; nothing is written yet."""
    watch_environment()
    previous, outer, span = surroundings()
    if outer is not None and outer._holder is not None and outer._holder() is None:
        _end_orphans(outer)
        previous, outer, span = surroundings()
    time_ns, mono = recorder.clock.now()
    if at_ns is not None:
        time_ns = at_ns
    initial, said = written(spec.attributes)
    phase = child_of(outer, span, spec, recorder, previous, (time_ns, mono), initial)
    if phase is None:
        phase = _place(spec, recorder, previous, outer, span, (time_ns, mono), initial)
    phase._pid, phase._task, phase._reporter = os.getpid(), task_key(), report_progress
    phase._due = ("started", time_ns, mono, start_body(phase, said), 0)
    return phase


def start(phase: Phase, held: list[Phase], holder: object) -> Phase:
    """Journal the start of a prepared phase, and make it current.

    ``held`` is where whoever ends it finds it; when ``holder`` is gone, nobody can end it any more.
    """
    held.append(phase)
    recorder = phase._recorder
    if recorder is None:
        return phase
    if holder is not None:
        phase._holder = ref(holder)
    if recorder.lane == "sdk":
        phase.span.add_event(*semconv.lifecycle_event(masked(phase._spec.subject), None), timestamp=phase._start_ns)
    if recorder.on_start is not None:
        recorder.on_start(phase.span, phase._previous)
    if phase._due is not None:
        _, time_ns, mono, said, phase._sequence = phase._due
        record(phase, "started", time_ns, mono, said)
        phase._due = None
    if recorder.journal is not None:
        recorder.journal.phase_opened()
        phase._counted = True
    if phase._spec.is_run and not phase._nested:
        recorder.open_runs[id(phase)] = phase
        environment.publish(recorder)
    enter(phase, phase._previous)
    return phase


def abandon(broken: BaseException, phase: Phase, held: list[Phase], _holder: object) -> None:
    """End a phase whose start was broken off as cancelled, if anybody can have heard of it."""
    recorder = phase._recorder
    if recorder is not None and not phase._ended:
        phase._due = None
        if phase._sequence or recorder.lane == "sdk" or recorder.on_start is not None:
            left = of_exception(broken)
            is_cancelled = left.outcome is Outcome.CANCELLATION
            phase._verdict = left if is_cancelled else Verdict(Outcome.CANCELLATION, describe(broken))
            finish(phase, None)
        phase._ended = True
    if phase in held:
        held.remove(phase)


def _end_orphans(phase: Phase | None) -> None:
    """End phases that nobody can end any more, from the innermost out.

    An interrupt at the very first instruction of a scope's ``__exit__`` leaves them behind, and
    when its traceback has gone the scope has gone too.
    """
    while phase is not None and phase._holder is not None and phase._holder() is None:
        if not phase._ended:
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
    span: Any,
    times: tuple[int, int],
    initial: Mapping[str, Any],
) -> Phase:
    """Find out where a phase belongs, and make it."""
    for run in tuple(recorder.open_runs.values()):
        _end_orphans(run)
    parent, outer, inferred = find_parent(spec, recorder, outer, span)
    made = make_span(spec, recorder, parent, outer, previous, times[0], initial)
    phase = (Workflow if spec.is_run else Phase)(spec, recorder, made, previous, *times)
    phase._outer, phase._inferred = outer, inferred
    # A library's span may stand between the phase and the one around it.
    phase._apart = bool(outer and parent and outer.span.get_span_context().span_id != parent.span_id)
    name_run(phase, recorder, parent)
    phase._flags = flags_of(phase, parent)
    return phase


def report_progress(phase: Phase, done: float, total: float | None, message: str) -> None:
    """Journal how far a phase is, or hold it for a while if the last report is fresh."""
    recorder = phase._recorder
    if recorder is None:
        return
    if phase._pid != os.getpid():
        return
    time_ns, mono = recorder.clock.now()
    report = clean_attributes({"done": done, "total": total, "message": message})
    if phase._progress_ns is not None and mono - phase._progress_ns < _PROGRESS_NS:
        phase._progress_held = report
        return
    _write_progress(phase, report, time_ns, mono)


def _write_progress(phase: Phase, report: dict[str, Any], time_ns: int, mono: int) -> None:
    phase._progress_ns, phase._progress_held = mono, None
    record(phase, "progress", time_ns, mono, progress_body(phase, report))


def finish(phase: Phase, error: BaseException | None, at_ns: int | None = None) -> None:
    """End a phase: find its verdict, hand a failure up, journal the end, tell the bus.

    The end is the start plus what the monotonic clock counted, unless ``at_ns`` says when it was.
    """
    recorder = phase._recorder
    if recorder is None or phase._ended:
        return
    if phase._pid != os.getpid():  # a forked child walks out of its parent's block: not its end
        leave(phase)
        return
    if error is not None and not isinstance(error, Exception):
        _end_inside(phase, error)
    _, mono = recorder.clock.now()
    elapsed = mono - phase._start_mono if at_ns is None else at_ns - phase._start_ns
    time_ns = phase._start_ns + max(elapsed, 0)
    watch_environment()
    verdict = _verdict(phase, error)
    if verdict is not SUCCESS or phase._spec.attempt > 1:
        _hand_up(phase, verdict, error)
    if phase._progress_held is not None:
        _write_progress(phase, phase._progress_held, time_ns, mono)
    if recorder.lane == "sdk":
        close_sdk_span(phase, verdict, time_ns)
    transition = "completed" if verdict is SUCCESS else transition_of(verdict.outcome)
    phase._due = (transition, time_ns, mono, end_body(phase, verdict), phase._sequence)
    _close(phase, recorder)


def finish_again(phase: Phase, error: BaseException | None, at_ns: int | None = None) -> None:
    """Do what is left of an end that was broken off; nothing if nothing is."""
    if phase._due is None:
        finish(phase, error, at_ns)
    elif phase._recorder is not None:
        _close(phase, phase._recorder)
    leave(phase)


def _close(phase: Phase, recorder: Recorder) -> None:
    """Write the end that is due, and take the phase out of all that is open."""
    phase._ended = True
    if phase._due is not None:  # written once more, it is the same bytes, and a reader sees one
        transition, time_ns, mono, said, phase._sequence = phase._due
        if isinstance(phase.span, PhaseSpan):
            phase.span.end_time = time_ns
        record(phase, transition, time_ns, mono, said)
    if phase._spec.is_run and recorder.open_runs.pop(id(phase), None) is not None:
        environment.publish(recorder)
    leave(phase)
    phase._due = None  # the rest must not be done twice
    if recorder.journal is not None and phase._counted:
        recorder.journal.phase_closed()
    if recorder.on_end is not None:
        recorder.on_end(phase.span)


def _verdict(phase: Phase, error: BaseException | None) -> Verdict:
    """Tell how a phase ended, as it is recorded: masked, and every error with a type."""
    span = phase.span
    quiet = phase._verdict is None and not phase._handed and isinstance(span, PhaseSpan) and span.gathered is None
    if error is None and quiet:
        return SUCCESS  # nobody marked it, handed anything up to it or put anything on its span
    verdict = _weighed(phase, error)
    if verdict.is_error and not verdict.error_type:
        verdict = replace(verdict, error_type=semconv.ERROR_TYPE_OTHER)
    reason = masked(verdict.reason)
    return verdict if reason is verdict.reason else replace(verdict, reason=reason)


def _weighed(phase: Phase, error: BaseException | None) -> Verdict:
    """Weigh the mark, the exception and what inner phases handed up (the table of FACE §2).

    An exception outranks marks of peace; a mark of failure keeps its reason beside an exception.
    """
    marked = phase._verdict
    if error is not None:
        left = of_exception(error)
        if left.outcome is not Outcome.SUCCESS:
            _note_exception(phase, error, left)
            if marked is None or not marked.is_error:
                return left
            return replace(marked, reason=marked.reason or left.reason, error_type=marked.error_type or left.error_type)
    if marked is not None:
        return marked
    status = getattr(phase.span, "status", None)
    if isinstance(status, Status) and status.status_code is StatusCode.ERROR:
        return Verdict(Outcome.FAILURE, clean_text(status.description or "", MAX_REASON))
    if phase._handed:
        name, inner = next(iter(phase._handed.items()))
        return replace(inner, reason=f"{name}: {inner.reason}" if inner.reason else name, handed=True)
    return SUCCESS


def _note_exception(phase: Phase, error: BaseException, verdict: Verdict) -> None:
    """Record the exception where it was first seen; enclosing phases only carry the verdict."""
    if verdict.is_error and phase._seen_exception != id(error):
        if isinstance(phase.span, PhaseSpan):
            phase.span.record_exception(error)
        else:
            record_masked(phase.span, error)
    if phase._outer is not None:
        phase._outer._seen_exception = id(error)


def _hand_up(phase: Phase, verdict: Verdict, error: BaseException | None) -> None:
    """Hand a mark of failure up; exceptions travel by themselves; a good retry takes it back."""
    spec, outer = phase._spec, phase._outer
    if outer is None or outer._ended:
        return
    if verdict.outcome is Outcome.SUCCESS:
        if spec.attempt > 1:
            outer._handed.pop(spec.name, None)
    elif verdict.is_error and error is None and not spec.allow_failure:
        outer._handed[spec.name] = verdict
