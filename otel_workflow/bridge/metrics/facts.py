"""What the metrics need to know of a run or phase, from whichever spring it came.

A journal, an OTLP span and a log event say the same in different words; here it has one form.
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_workflow.events import PhaseFacts
from otel_workflow.runs import PhaseRun

__all__ = ("Began", "Finished", "began_of", "finished_of")


@dataclass(frozen=True, slots=True)
class Began:
    """A run or phase was seen to start; ids are hex, times integer ns since the epoch.

    ``is_run`` is True for the outermost run only. ``name`` is the phase's name, empty for a run.
    """

    trace_id: str
    span_id: str
    is_run: bool
    workflow: str
    name: str
    detail: str
    time_ns: int
    queued_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A run or phase has ended and that is final: nothing will be taken back.

    ``outcome`` is one of the six results of the conventions. ``interrupted`` says that the end was
    inferred from a death or a silence; a real end that comes later is then a late verdict.
    """

    trace_id: str
    span_id: str
    is_run: bool
    workflow: str
    name: str
    detail: str
    outcome: str
    error_type: str | None
    start_ns: int
    end_ns: int
    queued_ns: int | None = None
    attempt: int = 1
    interrupted: bool = False
    retries: int = 0


def began_of(phase: PhaseRun) -> Began | None:
    """Return the start of a folded phase; None while its start is not known."""
    if phase.start is None:
        return None
    facts = phase.facts
    return Began(
        phase.trace_id,
        phase.span_id,
        _is_run(facts),
        facts.workflow,
        *_name_and_detail(facts),
        phase.start_ns,
        phase.others.queued_ns,
    )


def finished_of(phase: PhaseRun) -> Finished | None:
    """Return the end of a folded phase; None while it is open.

    Whether an interrupted phase is final is for the caller to know: the fold cannot.
    """
    outcome, end_ns = phase.outcome, phase.end_ns
    if outcome is None or end_ns is None:
        return None
    facts = phase.facts
    return Finished(
        phase.trace_id,
        phase.span_id,
        _is_run(facts),
        facts.workflow,
        *_name_and_detail(facts),
        outcome.value,
        phase.error_type,
        phase.start_ns,
        end_ns,
        phase.others.queued_ns,
        facts.attempt,
        phase.interrupted,
        phase.others.retries,
    )


def _is_run(facts: PhaseFacts) -> bool:
    return facts.is_run and not facts.nested


def _name_and_detail(facts: PhaseFacts) -> tuple[str, str]:
    return ("", "run") if _is_run(facts) else (facts.name, facts.detail)
