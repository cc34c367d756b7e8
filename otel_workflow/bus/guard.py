"""The guard round everything a subscriber gave us: handlers, predicates, sinks.

This is the one file of the bus with a broad ``except``. Whatever is raised here, ``BaseException``
and exception groups included, is returned as a value and becomes that handler's failed result; it
reaches neither the publisher nor another handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from otel_workflow.bus.delivery import INSIDE, now

if TYPE_CHECKING:
    from otel_workflow.bus.shapes import Box, ServingLane

__all__ = ("call", "finish", "serve")

T = TypeVar("T")

NOBODY: tuple[Box, ...] = ()
TURN = range(64)
"""Deliveries before a lane lets the loop go round once, so that a full queue does not block it."""


def call(fn: Callable[..., T], /, *args: object) -> tuple[T | None, BaseException | None]:
    """Call a function and return (its value, None) or (None, what it raised)."""
    try:
        return fn(*args), None
    except BaseException as error:
        return None, error


async def finish(
    fn: Callable[..., Awaitable[object] | object], /, *args: object
) -> tuple[object, BaseException | None]:
    """Call a function, await what it returns if that can be awaited, and return as ``call`` does."""
    try:
        value = fn(*args)
        if value is not None and hasattr(type(value), "__await__"):
            value = await value  # type: ignore[misc]
    except BaseException as error:
        return None, error
    return value, None


async def serve(lane: ServingLane, box: Box) -> None:
    """Call an async handler for one waiting event after the other, as long as all is plain.

    It stops at the first delivery with something to be done about it (the handler raised, waited,
    returned a value, or somebody waits for its result): ``lane.entry`` is then that delivery, and
    ``lane.value`` and ``lane.error`` say how it ended. Without one, ``lane.entry`` is None.

    The loop is in here because a ``try`` round many calls costs nothing per call, and a guarded
    coroutine round each of them would cost as much as a plain handler does.
    """
    queue, handler, books, current = box.queue, box.terms.handler, box.books, None
    popleft = queue.popleft
    try:
        for _ in TURN:
            if not queue:
                break
            lane.entry = item = popleft()
            if type(item) is not tuple:
                if current is not NOBODY:
                    current = NOBODY
                    INSIDE.set((box,))
                value = await handler(item)
                if value is not None or lane.parked:
                    lane.value = value
                    return
            else:
                event, size, inside, collector = item
                box.bytes -= size
                if inside is not current:
                    current = inside
                    INSIDE.set((*inside, box))
                if collector is not None:
                    lane.started = now()
                value = await handler(event)
                if value is not None or collector is not None or lane.parked:
                    lane.value = value
                    return
            books.delivered += 1
            lane.entry = None
    except BaseException as error:
        # A publisher that makes room may take the last event between our look and our popleft;
        # then there is no delivery and nothing to report.
        if lane.entry is not None:
            lane.error = error
