"""What a promise is checked with: one bus's classes, under the names both have. Standard library only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ("Kit", "ours", "published", "until")


@dataclass(frozen=True)
class Kit:
    """The classes of one implementation."""

    bus: Callable[[], Any]
    names: Any
    result: Callable[..., Any]


def ours() -> Kit:
    """Return our classes."""
    from otel_workflow import EventHandlerResult, WorkflowEvent, WorkflowEventBus

    return Kit(WorkflowEventBus, WorkflowEvent, EventHandlerResult)


def published() -> Kit:
    """Return the original's; ``original.prepare`` comes first."""
    from acb.events import EventHandlerResult  # type: ignore[import-not-found]
    from crackerjack.events.workflow_bus import (  # type: ignore[import-not-found]
        WorkflowEvent,
        WorkflowEventBus,
    )

    return Kit(WorkflowEventBus, WorkflowEvent, EventHandlerResult)


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Wait until something is so; False when it never was."""
    for _ in range(int(seconds / 0.005)):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return condition()
