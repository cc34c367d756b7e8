"""One event on its way to one subscription: who waits for it, and how deep it was born."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from otel_workflow.bus.results import EventHandlerResult
from otel_workflow.events import Event

if TYPE_CHECKING:
    from otel_workflow.bus.shapes import Box

__all__ = ("INSIDE", "MAX_DEPTH", "Call", "Collector", "Entry", "Item", "now", "whole")

now = time.perf_counter

MAX_DEPTH = 8
"""How many handlers deep an event may be published before it is taken for a cycle."""

INSIDE: ContextVar[tuple[Box, ...]] = ContextVar("otel_workflow_inside", default=())
"""The subscriptions whose handlers we are inside of, outermost first; it travels with each event."""

Entry = tuple[Event, int, "tuple[Box, ...]", "Collector | None"]
"""An event with its bytes, the ``INSIDE`` of its publisher, and who waits for it.

The bytes are an estimate, or 0 while the event is not weighed yet: see ``Mailbox.light``.

A bare tuple, shared by all queues it is in: it is made for every event that is published.
"""

Item = Event | Entry
"""What waits in a queue: an entry, or the bare event where that is all there is to say."""


def whole(item: Item) -> Entry:
    """Return the entry of what waits in a queue."""
    return item if type(item) is tuple else (item, 0, (), None)  # type: ignore[return-value]


class Call:
    """One delivery that is more than plain: being retried, kept back for its run's order, or timed."""

    __slots__ = ("attempt", "entry", "event", "key", "size", "skipped", "started")

    def __init__(self, item: Item) -> None:
        self.entry = entry = whole(item)
        self.event = entry[0]
        self.size = entry[1]
        """A plain attribute: ``box.bytes -= call.size`` must not call anything, see ``Books``."""
        self.attempt = 1
        self.key: str | bool | None = False
        """The run whose order this call keeps, or False: then nobody waits behind it."""
        self.skipped = False
        """Whether the predicate said that this event is not for the handler."""
        self.started = 0.0


class Collector:
    """Gathers the results of one awaited publication and calls ``ready`` when all are there.

    Results come from several loops and threads. Storing into a dict is atomic, and ``ready`` may be
    called twice when the last two come at once, so it must not mind.
    """

    __slots__ = ("expected", "ready", "results")

    def __init__(self, expected: int, ready: Callable[[], None]) -> None:
        self.expected = expected
        self.ready = ready
        self.results: dict[str, EventHandlerResult] = {}

    def settle(self, result: EventHandlerResult) -> None:
        """Take the result of one subscription; a second one of the same is ignored."""
        self.results.setdefault(result.subscription_id, result)
        if len(self.results) >= self.expected:
            self.ready()
