"""The event bus: publishers and subscribers know events and the bus, never each other.

::

    bus = get_bus()

    @bus.subscribe("hooks.*")
    async def show(event: Event) -> None: ...

    bus.publish_nowait("hooks.strategy.started", {"strategy": "fast"})

Where to look: ``workflow_bus`` publishes and subscribes; a ``mailbox`` is the queue of one
subscription; ``asyncio_home``, ``trio_home``, ``own_loop`` and ``threads`` are where handlers run;
``guard`` is round every call of one.
"""

from __future__ import annotations

from functools import cache

from otel_workflow.bus.results import EventHandlerResult, WorkflowEventDispatchResult
from otel_workflow.bus.statistics import BusStatistics
from otel_workflow.bus.subscription import Handler, Subscription, SubscriptionId
from otel_workflow.bus.workflow_bus import WorkflowEventBus

__all__ = (
    "BusStatistics",
    "EventHandlerResult",
    "Handler",
    "Subscription",
    "SubscriptionId",
    "WorkflowEventBus",
    "WorkflowEventDispatchResult",
    "get_bus",
)


@cache
def get_bus() -> WorkflowEventBus:
    """Return the bus of this process: always there, and free while nobody listens."""
    return WorkflowEventBus()
