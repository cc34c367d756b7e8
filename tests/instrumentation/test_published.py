"""Events that somebody publishes become phases, without a line changed at the publisher."""

import anyio
import pytest

import otel_workflow as ow
from otel_workflow.testing import ManualClock, capture_workflow


def publish(event_type: str, **payload: object) -> None:
    """Publish on the process's bus."""
    ow.get_bus().publish_nowait(event_type, payload)


def test_a_published_start_and_end_are_a_phase_of_the_current_one() -> None:
    """Keyed by subject and step_id; its events keep their type."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured, ow.workflow("w"):
        publish("hooks.strategy.started", step_id="s1", strategy="fast", timestamp=1.0)
        clock.advance(2)
        publish("hooks.strategy.completed", step_id="s1", strategy="fast", success=True, duration=2.0)

    assert "w success 2s\n  fast success 2s" == captured.tree()
    assert [(0, "hooks.strategy.started"), (2, "hooks.strategy.completed")] == captured.spans[1]["events"]


def test_a_failure_that_arrives_as_a_completion_is_a_failure() -> None:
    """The original's hooks complete with the status "failed"."""
    with capture_workflow() as captured:
        publish("hooks.execution.started", step_id="s", hook="ruff")
        publish("hooks.execution.completed", step_id="s", hook="ruff", status="failed", error="3 findings")

    assert "ruff failure 0s: 3 findings" == captured.tree()


def test_a_quality_phase_fails_as_workflow_failed_with_its_step_id() -> None:
    """The seed has no workflow.quality.failed; the run itself goes on."""
    with capture_workflow() as captured:
        publish("workflow.started", name="gate")
        publish("workflow.quality.started", step_id="tests", phase="testing")
        publish("workflow.failed", step_id="tests", phase="testing", error="boom")
        publish("workflow.failed", error="boom")

    assert "gate failure 0s: boom\n  testing failure 0s: boom" == captured.tree()


def test_an_event_without_a_transition_is_a_span_event_of_the_current_phase() -> None:
    """So is one whose key is open already."""
    with capture_workflow() as captured, ow.phase("p"):
        publish("workflow.session.ready", user="me")

    assert [(0, "phase.started"), (0, "workflow.session.ready"), (0, "phase.completed")] == captured.spans[0]["events"]


def test_observed_and_reported_durations_are_both_kept() -> None:
    """A disagreement is flagged, not hidden."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured:
        publish("hooks.execution.started", step_id="s")
        clock.advance(37.9)
        publish("hooks.execution.completed", step_id="s", duration=12.9)

    attributes = captured.spans[0]["attributes"]
    assert (12.9, "reported 12.900 s, observed 37.900 s") == (
        attributes["otel_workflow.duration.reported"],
        attributes["otel_workflow.contradiction"],
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_subscriber_sees_a_published_event_once(backend: str) -> None:
    """The phase it opens is not published a second time."""
    seen: list[str] = []

    async def main() -> None:
        bus = ow.get_bus()
        with bus.subscribe("a.*", lambda event: seen.append(event.type)):
            await bus.publish("a.started", {"step_id": "1"})
            await bus.publish("a.completed", {"step_id": "1"})

    with capture_workflow() as captured:
        anyio.run(main, backend=backend)

    assert (["a.started", "a.completed"], ["a.started", "a.completed"]) == (seen, [e.type for e in captured.events])


def test_live_objects_in_a_payload_stay_with_the_publisher() -> None:
    """Only what can be recorded is recorded."""
    with capture_workflow() as captured:
        publish("a.started", step_id="1", options=object(), count=3)

    assert (3, False) == (captured.events[0].payload["count"], "options" in captured.events[0].payload)
