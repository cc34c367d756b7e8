"""The four workflow actions of crackerjack 0.42-0.46, each a phase, told on any bus in the words of their page.

The original writes three to five ``publish`` calls into every action. Here they stand once, in
``_run``: ``ow.phase`` makes the span, and ``say`` publishes events whose payloads have exactly the
keys that the page lists. ``publish_nowait`` makes no step wait for a subscriber, and without a bus
(``event_bus=None``) everything else stays as it is.

Run it: ``python examples/crackerjack_actions.py``, then ``otel-workflow report``.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import otel_workflow as ow
from otel_workflow import WorkflowEvent, WorkflowEventBus


@dataclass(frozen=True)
class Kind:
    """How one kind of phase is told: the payload key that names it, and its three events."""

    key: str
    started: WorkflowEvent
    completed: WorkflowEvent
    failed: WorkflowEvent


HOOKS = Kind(
    "strategy",
    WorkflowEvent.HOOK_STRATEGY_STARTED,
    WorkflowEvent.HOOK_STRATEGY_COMPLETED,
    WorkflowEvent.HOOK_STRATEGY_FAILED,
)
# The page has no event for a quality phase that failed: it fails as the workflow, with its step_id.
QUALITY = Kind(
    "phase",
    WorkflowEvent.QUALITY_PHASE_STARTED,
    WorkflowEvent.QUALITY_PHASE_COMPLETED,
    WorkflowEvent.WORKFLOW_FAILED,
)


async def _run(
    kind: Kind, name: str, step_id: str, event_bus: WorkflowEventBus | None, context: dict[str, Any], method: str
) -> bool:
    """Run one method of the pipeline as a phase, and tell the bus."""
    options, pipeline = _given(context)
    told = {"step_id": step_id, kind.key: name}
    began = time.time()

    def say(event: WorkflowEvent, **more: object) -> None:
        if event_bus is not None:
            event_bus.publish_nowait(event, {**told, **more}, source="crackerjack.workflow")

    def ended() -> dict[str, float]:
        now = time.time()
        return {"timestamp": now, "duration": now - began}

    with ow.phase(name, payload=told) as phase:
        say(kind.started, timestamp=began)
        try:
            success = bool(await asyncio.to_thread(getattr(pipeline, method), options))
        except Exception as error:
            say(kind.failed, error=str(error), **ended())
            raise
        if success:
            say(kind.completed, success=True, **ended())
        else:
            say(kind.failed, **ended())
            phase.fail()
    return success


def _given(context: dict[str, Any]) -> tuple[Any, Any]:
    if not context.get("options"):
        raise ValueError("Missing 'options' in workflow context")
    if not context.get("pipeline"):
        raise RuntimeError("WorkflowPipeline not available in context")
    return context["options"], context["pipeline"]


def _result(phase: str, title: str, *, success: bool) -> dict[str, Any]:
    if not success:
        raise RuntimeError(f"{title} execution failed")
    return {"phase": phase, "success": True, "message": f"{title} completed successfully"}


async def run_fast_hooks(
    context: dict[str, Any],
    step_id: str,
    event_bus: WorkflowEventBus | None = None,
    **params: Any,  # noqa: ARG001
) -> dict[str, Any]:
    """Formatters, import sorting, quick static analysis."""
    done = await _run(HOOKS, "fast", step_id, event_bus, context, "_run_fast_hooks_phase")
    return _result("fast_hooks", "Fast hooks", success=done)


async def run_code_cleaning(
    context: dict[str, Any],
    step_id: str,
    event_bus: WorkflowEventBus | None = None,
    **params: Any,  # noqa: ARG001
) -> dict[str, Any]:
    """Clean the code."""
    done = await _run(QUALITY, "cleaning", step_id, event_bus, context, "_run_code_cleaning_phase")
    return _result("cleaning", "Code cleaning", success=done)


async def run_comprehensive_hooks(
    context: dict[str, Any],
    step_id: str,
    event_bus: WorkflowEventBus | None = None,
    **params: Any,  # noqa: ARG001
) -> dict[str, Any]:
    """Type checks, security, complexity."""
    done = await _run(HOOKS, "comprehensive", step_id, event_bus, context, "_run_comprehensive_hooks_phase")
    return _result("comprehensive", "Comprehensive hooks", success=done)


async def run_test_workflow(
    context: dict[str, Any],
    step_id: str,
    event_bus: WorkflowEventBus | None = None,
    **params: Any,  # noqa: ARG001
) -> dict[str, Any]:
    """Run the tests."""
    done = await _run(QUALITY, "testing", step_id, event_bus, context, "_run_testing_phase")
    return _result("test_workflow", "Test workflow", success=done)


class Pipeline:
    """A stand-in for crackerjack's pipeline; its tests fail."""

    def _run_fast_hooks_phase(self, options: object) -> bool:
        time.sleep(0.05)
        return True

    _run_code_cleaning_phase = _run_comprehensive_hooks_phase = _run_fast_hooks_phase

    def _run_testing_phase(self, options: object) -> bool:
        return False


async def main() -> None:
    """Run the four actions once, with a subscriber that prints what it hears."""
    ow.configure()
    bus = WorkflowEventBus()
    bus.subscribe("*.completed", lambda event: print(event.type, dict(event.payload)))
    context = {"options": object(), "pipeline": Pipeline()}
    with ow.workflow("standard"):
        await run_fast_hooks(context, "run_fast_hooks_001", bus)
        await run_code_cleaning(context, "run_code_cleaning_001", bus)
        await run_comprehensive_hooks(context, "run_comprehensive_hooks_001", bus)
        try:
            await run_test_workflow(context, "run_test_workflow_001", bus)
        except RuntimeError as error:
            print(error)
    await bus.aclose(drain=1.0)


if __name__ == "__main__":
    asyncio.run(main())
