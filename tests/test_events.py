"""The vocabulary: the seed's names stay, and what the journal numbers is only ever appended to."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

from otel_workflow.events import (
    END_TRANSITIONS,
    TRANSITIONS,
    Event,
    Outcome,
    PhaseFacts,
    SpanRef,
    WorkflowEvent,
    event_id,
    split_type,
    transition_of,
)

SEED = {
    "WORKFLOW_STARTED": "workflow.started",
    "WORKFLOW_SESSION_INITIALIZING": "workflow.session.initializing",
    "WORKFLOW_SESSION_READY": "workflow.session.ready",
    "CONFIG_PHASE_STARTED": "workflow.config.started",
    "CONFIG_PHASE_COMPLETED": "workflow.config.completed",
    "WORKFLOW_COMPLETED": "workflow.completed",
    "WORKFLOW_FAILED": "workflow.failed",
    "WORKFLOW_INTERRUPTED": "workflow.interrupted",
    "QUALITY_PHASE_STARTED": "workflow.quality.started",
    "QUALITY_PHASE_COMPLETED": "workflow.quality.completed",
    "PUBLISH_PHASE_STARTED": "workflow.publish.started",
    "PUBLISH_PHASE_COMPLETED": "workflow.publish.completed",
    "COMMIT_PHASE_STARTED": "workflow.commit.started",
    "COMMIT_PHASE_COMPLETED": "workflow.commit.completed",
    "HOOK_STRATEGY_STARTED": "hooks.strategy.started",
    "HOOK_STRATEGY_COMPLETED": "hooks.strategy.completed",
    "HOOK_STRATEGY_FAILED": "hooks.strategy.failed",
    "HOOK_EXECUTION_STARTED": "hooks.execution.started",
    "HOOK_EXECUTION_COMPLETED": "hooks.execution.completed",
    "HOOK_EXECUTION_FAILED": "hooks.execution.failed",
}
"""The members of crackerjack's ``WorkflowEvent``, in its order."""

OURS = {
    "PHASE_STARTED": "phase.started",
    "PHASE_COMPLETED": "phase.completed",
    "PHASE_FAILED": "phase.failed",
    "PHASE_SKIPPED": "phase.skipped",
    "PHASE_CANCELLED": "phase.cancelled",
    "PHASE_INTERRUPTED": "phase.interrupted",
    "PHASE_QUEUED": "phase.queued",
    "PHASE_RETRYING": "phase.retrying",
    "PHASE_SUSPENDED": "phase.suspended",
    "PHASE_PROGRESS": "phase.progress",
    "WORKFLOW_CANCELLED": "workflow.cancelled",
    "WORKFLOW_HEARTBEAT": "workflow.heartbeat",
}

NUMBERED = (
    *("queued", "started", "progress", "retrying", "suspended", "completed", "failed"),
    *("skipped", "cancelled", "interrupted", "heartbeat"),
)
"""The transitions by their number in journals that exist."""


def test_the_twenty_members_of_the_seed_have_their_names_and_values_and_come_first() -> None:
    assert 20 == len(SEED)
    members = {name: member.value for name, member in WorkflowEvent.__members__.items()}
    assert list((SEED | OURS).items()) == list(members.items())
    assert "workflow.started" == str(WorkflowEvent.WORKFLOW_STARTED) == WorkflowEvent.WORKFLOW_STARTED


def test_a_transition_keeps_its_number_for_ever() -> None:
    assert NUMBERED == TRANSITIONS[: len(NUMBERED)]
    assert len(set(TRANSITIONS)) == len(TRANSITIONS) < 255


def test_every_outcome_ends_with_a_transition_that_is_an_end() -> None:
    assert {
        Outcome.SUCCESS: "completed",
        Outcome.FAILURE: "failed",
        Outcome.ERROR: "failed",
        Outcome.TIMEOUT: "failed",
        Outcome.CANCELLATION: "cancelled",
        Outcome.SKIP: "skipped",
    } == {outcome: transition_of(outcome) for outcome in Outcome}
    assert {*map(transition_of, Outcome), "interrupted"} == END_TRANSITIONS


@pytest.mark.parametrize(
    ("event_type", "parts"),
    [
        ("hooks.strategy.started", ("hooks.strategy", "started")),
        ("phase.failed", ("phase", "failed")),
        ("workflow.session.ready", ("workflow.session.ready", None)),
        ("started", ("started", None)),
        (".started", ("", "started")),
        ("", ("", None)),
    ],
)
def test_a_type_is_a_subject_and_a_transition_or_all_subject(event_type: str, parts: tuple[str, str | None]) -> None:
    assert parts == split_type(event_type)


def test_an_event_reads_like_the_seeds() -> None:
    event = Event("id-1", "phase.started", "test", 1_500_000_000, correlation_id="c", headers={"k": 1})
    metadata = event.metadata
    assert ("id-1", "phase.started", "test", "c", {"k": 1}) == (
        metadata.event_id,
        metadata.event_type,
        metadata.source,
        metadata.correlation_id,
        metadata.headers,
    )
    assert datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC) == metadata.timestamp
    assert ("phase", "started") == (event.subject, event.transition)


def test_events_are_values_that_nobody_changes() -> None:
    event = Event("id-1", "phase.started", "test", 1)
    assert event == Event("id-1", "phase.started", "test", 1)
    for changed, name in ((event, "id"), (SpanRef("a", "b"), "trace_id"), (PhaseFacts("x", 1), "name")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(changed, name, "other")
    with pytest.raises(TypeError):
        event.payload["x"] = 1  # type: ignore[index]


def test_an_event_of_a_phase_has_an_id_that_a_replay_gives_again() -> None:
    assert "0123456789abcdef-fedcba9876543210-3" == event_id("0123456789abcdef" * 2, "fedcba9876543210", 3)


def test_an_event_is_frozen_and_its_copies_are_equal() -> None:
    event = Event("1", "phase.started", "test", 5, payload={"name": "lint"}, headers={})

    with pytest.raises(dataclasses.FrozenInstanceError):
        event.id = "2"  # type: ignore[misc]
    assert event == copy.copy(event) == pickle.loads(pickle.dumps(event))
    assert Event("2", "phase.started", "test", 5, payload={"name": "lint"}, headers={}) == dataclasses.replace(
        event, id="2"
    )
    assert type(event) is Event
    assert not hasattr(event, "__dict__")
