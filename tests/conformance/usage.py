"""A user of crackerjack's bus: publishers and subscribers as its page shows them. Only the import may change."""

# Written as its users write it:
# ruff: noqa: ANN001, ANN201, ANN204, PLW0108

import asyncio
import time

from crackerjack.events.workflow_bus import WorkflowEvent, WorkflowEventBus


class MetricsCollector:
    """Counts the phases that started."""

    def __init__(self):
        self.started = []

    def track_phase_start(self, event):
        self.started.append(event.payload["strategy"])


class Dashboard:
    """Shows every event as a line of a timeline."""

    def __init__(self):
        self.lines = []

    async def show(self, event):
        assert event.metadata.source == "crackerjack.workflow"
        name = event.payload.get("strategy") or event.payload.get("phase") or event.payload.get("error")
        self.lines.append(f"{WorkflowEvent(event.metadata.event_type).name} ({name})")


async def run_phase(event_bus, step_id, strategy, work):
    """The page's standard event flow."""
    start_time = time.time()
    if event_bus:
        await event_bus.publish(
            WorkflowEvent.HOOK_STRATEGY_STARTED,
            {"step_id": step_id, "strategy": strategy, "timestamp": start_time},
            source="crackerjack.workflow",
        )
    try:
        success = await asyncio.to_thread(work)
    except Exception as exc:
        if event_bus:
            await event_bus.publish(
                WorkflowEvent.HOOK_STRATEGY_FAILED,
                {
                    "step_id": step_id,
                    "strategy": strategy,
                    "error": str(exc),
                    "timestamp": time.time(),
                    "duration": time.time() - start_time,
                },
                source="crackerjack.workflow",
            )
        raise
    if event_bus:
        await event_bus.publish(
            WorkflowEvent.HOOK_STRATEGY_COMPLETED,
            {
                "step_id": step_id,
                "strategy": strategy,
                "success": success,
                "timestamp": time.time(),
                "duration": time.time() - start_time,
            },
            source="crackerjack.workflow",
        )
    return {"strategy": strategy, "success": success}


def break_down():
    raise OSError("no disk")


async def main():
    metrics_collector, dashboard = MetricsCollector(), Dashboard()
    event_bus = WorkflowEventBus()
    event_bus.subscribe(
        WorkflowEvent.HOOK_STRATEGY_STARTED,
        lambda event: metrics_collector.track_phase_start(event),
    )
    every = event_bus.subscribe(None, dashboard.show, description="dashboard", max_concurrent=4)
    event_bus.subscribe(
        "hooks.strategy.completed",
        lambda event: dashboard.lines.append("slow"),
        predicate=lambda event: event.payload["duration"] > 60,
        max_retries=2,
        retry_backoff=0.1,
    )
    for row in event_bus.list_subscriptions():
        print(row["event_type"], row["description"], row["max_concurrent"])

    print(await run_phase(event_bus, "run_fast_hooks_001", "fast", lambda: True))
    print(await run_phase(None, "run_fast_hooks_002", "nobody hears", lambda: True))
    try:
        await run_phase(event_bus, "run_comprehensive_hooks_001", "comprehensive", break_down)
    except OSError as error:
        print("raised", error)

    dispatched = await event_bus.publish(
        WorkflowEvent.WORKFLOW_FAILED, {"error": "no disk"}, source="crackerjack.workflow"
    )
    print(dispatched.event.metadata.event_type, dict(dispatched.event.payload), len(dispatched.results))
    print(event_bus.unsubscribe(every), event_bus.unsubscribe(every))
    await event_bus.publish(WorkflowEvent.WORKFLOW_COMPLETED)
    print(metrics_collector.started)
    print("\n".join(dashboard.lines))


if __name__ == "__main__":
    asyncio.run(main())
