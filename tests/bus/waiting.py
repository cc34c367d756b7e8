"""Waiting inside a test's loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from otel_workflow.bus import WorkflowEventBus


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await anyio.sleep(0.001)


async def quiet(bus: WorkflowEventBus, seconds: float = 5.0) -> None:
    """Wait until nothing is queued or running."""
    await eventually(lambda: bus.statistics().queued == 0, seconds)
