"""From the fold to facts: what a journal says of a phase becomes what the metrics count."""

from __future__ import annotations

from typing import Any

import pytest

from otel_workflow.bridge.metrics import Began, Finished, began_of, finished_of
from otel_workflow.events import Event, Outcome, PhaseFacts, SpanRef, transition_of
from otel_workflow.runs import PhaseRun

TRACE, SPAN = "a" * 32, "b" * 16


def event(transition: str, at: int, **facts: Any) -> Event:
    known: dict[str, Any] = {"name": "lint", "start_ns": 10, "workflow": "ci", **facts}
    return Event(
        id=f"{transition}-{at}",
        type=f"phase.{transition}",
        source="test",
        time_ns=at,
        span=SpanRef(TRACE, SPAN),
        facts=PhaseFacts(**known),
    )


def ended(outcome: Outcome, at: int, **facts: Any) -> Event:
    return event(transition_of(outcome), at, outcome=outcome, ended_ns=at, **facts)


def phase_of(*events: Event) -> PhaseRun:
    phase = PhaseRun(TRACE, SPAN)
    for each in events:
        phase.add(each, "owner")
    return phase


def test_a_phase_that_began_is_a_fact_and_has_no_end_yet() -> None:
    phase = phase_of(event("started", 10))
    assert Began(TRACE, SPAN, False, "ci", "lint", "phase", 10) == began_of(phase)
    assert finished_of(phase) is None


def test_an_end_carries_queue_attempt_retries_outcome_and_cause() -> None:
    phase = phase_of(
        event("queued", 7),
        event("queued", 4),
        event("started", 10, attempt=2),
        event("retrying", 12),
        event("retrying", 14),
        event("progress", 15),
        ended(Outcome.FAILURE, 20, attempt=2, error_type="ValueError"),
    )
    wanted = Finished(TRACE, SPAN, False, "ci", "lint", "phase", "failure", "ValueError", 10, 20, 4, 2, False, 2)
    assert wanted == finished_of(phase)
    began = began_of(phase)
    assert began is not None
    assert 4 == began.queued_ns


def test_the_outermost_run_has_no_phase_name_and_a_nested_one_is_a_phase() -> None:
    facts = {"name": "ci", "is_run": True}
    run = finished_of(phase_of(event("started", 10, **facts), ended(Outcome.SUCCESS, 20, **facts)))
    assert Finished(TRACE, SPAN, True, "ci", "", "run", "success", None, 10, 20) == run
    nested = facts | {"name": "inner", "nested": True}
    phase = finished_of(phase_of(event("started", 10, **nested), ended(Outcome.SUCCESS, 20, **nested)))
    assert Finished(TRACE, SPAN, False, "ci", "inner", "phase", "success", None, 10, 20) == phase


def test_an_interrupted_phase_ended_in_an_error_that_was_inferred() -> None:
    phase = phase_of(event("started", 10))
    phase.lost_ns, phase.lost_type = 30, "oom"
    found = finished_of(phase)
    assert found is not None
    assert ("error", "oom", 30, True) == (found.outcome, found.error_type, found.end_ns, found.interrupted)


@pytest.mark.parametrize("detail", ["phase", "item"])
def test_an_end_whose_start_was_lost_is_a_fact_all_the_same(detail: str) -> None:
    phase = phase_of(ended(Outcome.SKIP, 20, detail=detail))
    assert began_of(phase) is None
    found = finished_of(phase)
    assert found is not None
    assert ("skip", 10, 20, detail) == (found.outcome, found.start_ns, found.end_ns, found.detail)
