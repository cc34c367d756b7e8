"""Publish on crackerjack's own bus, followed by us: ``real.py SITE HOW``, in the original's environment."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import os
import signal
import sys
from typing import Any

import otel_workflow as ow
from otel_workflow.engines import crackerjack
from tests.conformance import original


def imported() -> Any:
    """The module as it was published; acb writes a line when it is imported."""
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(crackerjack.MODULE)


async def a_run(first: Any, second: Any, names: Any) -> None:
    """One run on two buses, with a live object and a hook that failed quietly."""
    await first.publish(names.WORKFLOW_STARTED, {"workflow_id": "gate", "context": {"options": object()}})
    await first.publish(names.QUALITY_PHASE_STARTED, {"step_id": "fast_hooks", "step_name": "Fast Hooks"})
    await second.publish(names.HOOK_STRATEGY_STARTED, {"step_id": "fast_hooks", "strategy": "fast"})
    await second.publish(names.HOOK_EXECUTION_STARTED, {"hook": "ruff", "stage": "fast"})
    await second.publish(names.HOOK_EXECUTION_COMPLETED, {"hook": "ruff", "stage": "fast", "status": "failed"})
    failed = await second.publish(names.HOOK_STRATEGY_FAILED, {"step_id": "fast_hooks", "strategy": "fast"})
    await first.publish(names.WORKFLOW_FAILED, {"step_id": "fast_hooks", "error": "Fast hooks execution failed"})
    await first.publish(names.WORKFLOW_FAILED, {"workflow_id": "gate", "error": "Fast hooks execution failed"})
    print(len(failed.results), len(first.list_subscriptions()), len(second.list_subscriptions()))


async def a_death(bus: Any, names: Any) -> None:
    """Die inside a handler."""

    async def die(event: Any) -> None:
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    bus.subscribe(None, die)
    await bus.publish(names.WORKFLOW_STARTED, {"workflow_id": "gate"})


def main() -> None:
    """Attach before or after the import, and publish."""
    site, how = sys.argv[1:]
    original.prepare(site)
    ow.configure()
    if how == "before":
        crackerjack.attach()
        module = imported()
        first = module.WorkflowEventBus()
    else:
        module = imported()
        first = module.WorkflowEventBus()
        crackerjack.attach()
    if how == "killed":
        asyncio.run(a_death(first, module.WorkflowEvent))
    asyncio.run(a_run(first, module.WorkflowEventBus(), module.WorkflowEvent))


if __name__ == "__main__":
    main()
