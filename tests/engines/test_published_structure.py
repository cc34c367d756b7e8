"""Published events find their place in the tree although nothing is current where they arrive."""

from __future__ import annotations

import otel_workflow as ow
from otel_workflow.testing import Captured, ManualClock, capture_workflow


def publish(event_type: str, **payload: object) -> None:
    """Publish on the process's bus."""
    ow.get_bus().publish_nowait(event_type, payload)


def outline(captured: Captured) -> list[str]:
    """The tree without its times."""
    return [line.rsplit(" 0s", 1)[0] for line in captured.tree().splitlines()]


def test_a_hook_belongs_to_its_strategy_a_strategy_to_its_step_all_to_the_run() -> None:
    """Also where two steps run side by side."""
    with capture_workflow() as captured:
        publish("workflow.started", workflow_id="gate")
        for step in ("fast", "comprehensive"):
            publish("workflow.quality.started", step_id=step)
        for step in ("fast", "comprehensive"):
            publish("hooks.strategy.started", step_id=step, strategy=step)
        for step in ("fast", "comprehensive"):
            publish("hooks.execution.started", hook=f"{step} hook", stage=step)
            publish("hooks.execution.started", hook=f"{step} other", strategy=step)
        for step in ("fast", "comprehensive"):
            publish("hooks.execution.completed", hook=f"{step} hook", stage=step)
            publish("hooks.execution.completed", hook_name=f"{step} other", strategy=step)
            publish("hooks.strategy.completed", step_id=step, strategy=step)
            publish("workflow.quality.completed", step_id=step)
        publish("workflow.completed", workflow_id="gate")

    assert [
        "gate success",
        "  fast success",
        "    fast success",
        "      fast hook success",
        "      fast other success",
        "  comprehensive success",
        "    comprehensive success",
        "      comprehensive hook success",
        "      comprehensive other success",
    ] == outline(captured)


def test_the_same_holds_inside_a_run_that_is_current() -> None:
    """A hook is the child of its published strategy, not of the phase around both."""
    with capture_workflow() as captured, ow.workflow("w"):
        publish("hooks.strategy.started", strategy="fast")
        publish("hooks.execution.started", strategy="fast", hook="ruff")
        publish("hooks.execution.completed", strategy="fast", hook="ruff")
        publish("hooks.strategy.completed", strategy="fast")

    assert ["w success", "  fast success", "    ruff success"] == outline(captured)


def test_the_same_hook_in_two_strategies_is_two_phases() -> None:
    """Keyed by strategy and hook."""
    with capture_workflow() as captured:
        publish("hooks.execution.started", strategy="fast", hook="ruff")
        publish("hooks.execution.started", strategy="comprehensive", hook="ruff")
        publish("hooks.execution.completed", strategy="comprehensive", hook="ruff", status="failed")
        publish("hooks.execution.completed", strategy="fast", hook="ruff", status="passed")

    assert ["ruff success", "ruff failure"] == outline(captured)


def test_an_end_may_say_less_than_the_start_and_never_hits_a_stranger() -> None:
    """The step alone is enough; a strategy alone is not enough for a hook."""
    with capture_workflow() as captured:
        publish("workflow.started", workflow_id="gate")
        publish("hooks.execution.started", strategy="fast", hook="ruff", step_id="1")
        publish("hooks.execution.completed", strategy="fast")
        publish("hooks.execution.completed", step_id="2")
        publish("hooks.execution.failed", step_id="1", error="3 findings")
        publish("workflow.completed", success=True)

    assert ["gate failure", "  ruff failure"] == [line.split(":")[0] for line in outline(captured)]


def test_a_step_that_failed_never_ends_the_run() -> None:
    """The original says so twice, from two layers; the second time nothing is open any more."""
    with capture_workflow() as captured:
        publish("workflow.started", workflow_id="gate")
        publish("workflow.quality.started", step_id="cleaning")
        publish("workflow.quality.started", step_id="cleaning", phase="cleaning")
        publish("workflow.failed", step_id="cleaning", phase="cleaning", error="boom")
        publish("workflow.failed", step_id="cleaning", error="boom", success=False)
        publish("workflow.config.started", step_id="config")
        publish("workflow.failed", step_id="config")
        publish("workflow.failed", workflow_id="gate", error="boom")

    assert ["gate failure", "  cleaning failure", "  config failure"] == [
        line.split(":")[0].split(" 0s")[0] for line in captured.tree().splitlines()
    ]
    assert 1 == len([each for each in captured.events if each.type == "workflow.failed"])


def test_what_failed_and_begins_again_in_the_same_place_is_another_attempt() -> None:
    """The original retries a step without saying so; a good retry takes the failure back."""
    with capture_workflow() as captured:
        publish("workflow.started", workflow_id="gate")
        publish("hooks.strategy.started", step_id="1", strategy="fast")
        publish("hooks.strategy.failed", step_id="1", strategy="fast")
        publish("hooks.strategy.started", step_id="1", strategy="fast")
        publish("hooks.strategy.completed", step_id="1", strategy="fast", success=True)
        publish("hooks.strategy.started", step_id="1", strategy="fast")
        publish("hooks.strategy.completed", step_id="1", strategy="fast", success=True)
        publish("workflow.completed", workflow_id="gate")

    run, *strategies = captured.spans
    assert [None, 2, 2] == [span["attributes"].get("otel_workflow.attempt") for span in strategies]
    assert "success" == run["attributes"]["cicd.pipeline.result"]


def test_a_success_that_contains_a_failure_is_a_failure_and_a_contradiction() -> None:
    with capture_workflow() as captured:
        publish("workflow.quality.started", step_id="1", phase="tests")
        publish("hooks.strategy.started", step_id="1", strategy="fast")
        publish("hooks.execution.started", hook="ruff", stage="fast")
        publish("hooks.execution.completed", hook="ruff", stage="fast", status="failed", error="3 findings")
        publish("hooks.strategy.completed", step_id="1", strategy="fast")
        publish("workflow.quality.completed", step_id="1", success=True, duration=0.0)

    tests, fast, _ = captured.spans
    assert "reported success, but failed inside: fast" == tests["attributes"]["otel_workflow.contradiction"]
    assert "otel_workflow.contradiction" not in fast["attributes"]
    assert {"failure"} == {span["attributes"]["cicd.pipeline.task.run.result"] for span in captured.spans}


def test_a_result_from_a_cache_contradicts_nothing() -> None:
    """Its duration is that of the work it remembers."""
    with capture_workflow() as captured:
        publish("hooks.execution.started", hook="ruff", stage="fast")
        publish("hooks.execution.completed", hook="ruff", stage="fast", duration=4.1, cached=True)

    [span] = captured.spans
    assert 4.1 == span["attributes"]["otel_workflow.duration.reported"]
    assert "otel_workflow.contradiction" not in span["attributes"]


def test_what_is_open_when_its_run_ends_ends_with_it() -> None:
    """Nobody will publish its end; it is no failure of the run."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured:
        publish("workflow.started", workflow_id="gate")
        publish("hooks.strategy.started", strategy="fast")
        publish("hooks.execution.started", strategy="fast", hook="ruff")
        clock.advance(3)
        publish("workflow.completed", workflow_id="gate")

    assert [
        "gate success 3s",
        "  fast cancellation 3s: its run ended first",
        "    ruff cancellation 3s: its run ended first",
    ] == captured.tree().splitlines()


def test_a_retry_or_a_suspension_that_is_published_ends_nothing() -> None:
    """Only an end ends; all else is a span event of the phase."""
    with capture_workflow() as captured:
        publish("a.started", step_id="1")
        publish("a.retrying", step_id="1", attempt=2)
        publish("a.suspended", step_id="1")
        publish("a.completed", step_id="1")

    [span] = captured.spans
    assert {"a.started", "a.retrying", "a.suspended", "a.completed"} == {name for _, name in span["events"]}


def test_a_phase_that_publishes_its_own_start_is_one_phase() -> None:
    """The same step told twice, by ``phase()`` and on the bus."""
    with capture_workflow() as captured, ow.phase("fast", payload={"step_id": "s1"}):
        publish("hooks.strategy.started", step_id="s1", strategy="fast")
        publish("hooks.strategy.completed", step_id="s1", strategy="fast")

    assert ["fast success"] == outline(captured)
    assert 4 == len(captured.spans[0]["events"])
