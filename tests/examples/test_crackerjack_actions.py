"""The four actions say on a bus exactly what crackerjack's page lists, and change nothing without one."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import otel_workflow as ow
from otel_workflow.testing import Captured, capture_workflow

PLACE = Path(__file__).parents[2] / "examples" / "crackerjack_actions.py"
_SPEC = importlib.util.spec_from_file_location("crackerjack_actions", PLACE)
assert _SPEC is not None
assert _SPEC.loader is not None
actions = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(actions)

Action = Callable[..., Awaitable[dict[str, Any]]]

HOOKS = "HOOK_STRATEGY_STARTED", "HOOK_STRATEGY_COMPLETED", "HOOK_STRATEGY_FAILED"
QUALITY = "QUALITY_PHASE_STARTED", "QUALITY_PHASE_COMPLETED", "WORKFLOW_FAILED"

ACTIONS: dict[str, tuple[Action, str, str, str, tuple[str, str, str]]] = {
    "run_fast_hooks": (actions.run_fast_hooks, "_run_fast_hooks_phase", "strategy", "fast", HOOKS),
    "run_code_cleaning": (actions.run_code_cleaning, "_run_code_cleaning_phase", "phase", "cleaning", QUALITY),
    "run_comprehensive_hooks": (
        actions.run_comprehensive_hooks, "_run_comprehensive_hooks_phase", "strategy", "comprehensive", HOOKS,
    ),
    "run_test_workflow": (actions.run_test_workflow, "_run_testing_phase", "phase", "testing", QUALITY),
}  # fmt: skip

STARTED = {"timestamp": float}
COMPLETED = {"success": bool, "timestamp": float, "duration": float}
FAILED = {"timestamp": float, "duration": float}
RAISED = {"error": str, **FAILED}


class Broken(Exception):
    """What a phase raises."""


def pipeline(method: str, outcome: str) -> object:
    """A pipeline with one method, which succeeds, fails or raises."""

    def run(options: object) -> bool:
        if outcome == "raised":
            raise Broken("no disk")
        return outcome == "completed"

    return type("Pipeline", (), {method: staticmethod(run)})()


def run(name: str, outcome: str, bus: ow.WorkflowEventBus | None) -> tuple[str, object]:
    """Run an action; return how it ended, comparable: its result, or the exception's class and text."""
    action, method, *_ = ACTIONS[name]
    context = {"options": object(), "pipeline": pipeline(method, outcome)}

    async def main() -> dict[str, Any]:
        try:
            return await action(context, "step_001", bus, extra=1)
        finally:
            if bus is not None:
                await bus.aclose(drain=5.0)

    try:
        return "returned", asyncio.run(main())
    except (RuntimeError, ValueError, Broken) as error:
        return type(error).__name__, str(error)


def shape(event: ow.Event) -> tuple[str, dict[str, type]]:
    """An event as the page lists it: its name, and the type of each key of its payload."""
    return ow.WorkflowEvent(event.type).name, {key: type(value) for key, value in event.payload.items()}


@pytest.fixture(params=["a bus of one's own", "the bus of the runtime"])
def bus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ow.WorkflowEventBus:
    """A bus that is not recorded, and one whose published events become phases themselves."""
    made = ow.WorkflowEventBus()
    if "runtime" in request.param:
        monkeypatch.setattr("otel_workflow.testing.capture.get_bus", lambda: made)
    return made


@pytest.mark.parametrize("outcome", ["completed", "failed", "raised"])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_subscriber_gets_exactly_the_events_keys_and_types_of_the_page(
    name: str, outcome: str, bus: ow.WorkflowEventBus
) -> None:
    """Not one key more; what our own phases say beside them has types of its own (``phase.*``)."""
    seen: list[ow.Event] = []
    *_, key, value, (started, completed, failed) = ACTIONS[name]
    named = {"step_id": str, key: str}
    end = {"completed": (completed, COMPLETED), "failed": (failed, FAILED), "raised": (failed, RAISED)}[outcome]
    bus.subscribe(None, seen.append, predicate=lambda event: not event.type.startswith("phase."))

    with capture_workflow():
        run(name, outcome, bus)

    assert [(started, named | STARTED), (end[0], named | end[1])] == [shape(event) for event in seen]
    assert {("step_001", value)} == {(event.payload["step_id"], event.payload[key]) for event in seen}
    assert seen[-1].payload["duration"] >= 0
    assert ["no disk"] * (outcome == "raised") == [e.payload["error"] for e in seen if "error" in e.payload]
    assert {"crackerjack.workflow"} == {event.source for event in seen}


@pytest.mark.parametrize("outcome", ["completed", "failed", "raised"])
@pytest.mark.parametrize("name", ACTIONS)
def test_an_absent_bus_changes_nothing(name: str, outcome: str) -> None:
    """The same results, the same exceptions."""
    with_bus = run(name, outcome, ow.WorkflowEventBus())
    assert with_bus == run(name, outcome, None)
    assert {"completed": "returned", "failed": "RuntimeError", "raised": "Broken"}[outcome] == with_bus[0]


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_without_its_context_says_what_is_missing(name: str) -> None:
    """As the original does, before any event."""
    action = ACTIONS[name][0]
    with pytest.raises(ValueError, match="Missing 'options'"):
        asyncio.run(action({}, "s"))
    with pytest.raises(RuntimeError, match="WorkflowPipeline not available"):
        asyncio.run(action({"options": object()}, "s"))


def spans(captured: Captured) -> list[tuple[str, str, list[str]]]:
    """Name, result and events of each span."""
    return [
        (s["name"], s["attributes"]["cicd.pipeline.task.run.result"], [name for _, name in s["events"]])
        for s in captured.spans
    ]


def test_an_action_is_one_span_although_it_is_told_twice(bus: ow.WorkflowEventBus) -> None:
    """On the runtime's bus the published events are span events of the phase, not a second phase."""
    with capture_workflow() as captured:
        run("run_fast_hooks", "failed", bus)

    [(name, result, events)] = spans(captured)
    assert ("fast", "failure") == (name, result)
    assert ("phase.started", "phase.failed") == (events[0], events[-1])
    assert set(events[1:-1]) in (set(), {"hooks.strategy.started", "hooks.strategy.failed"})
