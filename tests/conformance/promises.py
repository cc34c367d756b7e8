"""The promises of the page, each a check that runs against either bus. Standard library only.

A check raises AssertionError when the promise is not kept; any other exception, or a hang, breaks
it as well. The first sentence of a check is the promise.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

try:
    from tests.conformance.kit import Kit
except ImportError:  # as a script's neighbour, in the original's environment
    from kit import Kit  # type: ignore[import-not-found, no-redef]

__all__ = ("PROMISES",)

TYPE = "hooks.strategy.started"


async def handlers_get_what_was_published(kit: Kit) -> None:
    """A subscriber gets the payload and the envelope that were published."""
    bus, seen = kit.bus(), list[Any]()

    async def handler(event: Any) -> Any:
        seen.append(event)
        return kit.result(success=True)

    bus.subscribe(kit.names.HOOK_STRATEGY_STARTED, handler)
    dispatched = await bus.publish(
        kit.names.HOOK_STRATEGY_STARTED, {"strategy": "fast"}, source="me", correlation_id="run-1"
    )
    [event] = seen
    assert dict(event.payload) == {"strategy": "fast"}
    told = event.metadata
    assert (told.event_type, told.source, told.correlation_id) == (TYPE, "me", "run-1")
    assert str(told.event_id) == str(dispatched.event.metadata.event_id)


async def names_and_strings_are_the_same(kit: Kit) -> None:
    """A type may be given by name or as text, on either side."""
    bus, seen = kit.bus(), list[str]()
    bus.subscribe(TYPE, lambda event: seen.append("text"))
    bus.subscribe(kit.names.HOOK_STRATEGY_STARTED, lambda event: seen.append("name"))
    await bus.publish(kit.names.HOOK_STRATEGY_STARTED)
    await bus.publish(str(kit.names.HOOK_STRATEGY_STARTED))
    assert sorted(seen) == ["name", "name", "text", "text"]


async def a_wildcard_gets_everything(kit: Kit) -> None:
    """A subscription to None gets every event."""
    bus, seen = kit.bus(), list[str]()
    bus.subscribe(None, lambda event: seen.append(event.metadata.event_type))
    await bus.publish("a.started", {})
    await bus.publish("b.started", {})
    assert sorted(seen) == ["a.started", "b.started"]


async def a_predicate_filters(kit: Kit) -> None:
    """A predicate says which events a handler gets."""
    bus, seen = kit.bus(), list[int]()
    bus.subscribe(TYPE, lambda event: seen.append(event.payload["n"]), predicate=lambda event: event.payload["n"] > 1)
    for n in (1, 2):
        await bus.publish(TYPE, {"n": n})
    assert seen == [2]


async def an_unsubscribed_handler_gets_nothing(kit: Kit) -> None:
    """unsubscribe ends a subscription and says whether there was one."""
    bus, seen = kit.bus(), list[str]()
    name = bus.subscribe(TYPE, lambda event: seen.append("x"))
    assert isinstance(name, str)
    assert (bus.unsubscribe(name), bus.unsubscribe(name)) == (True, False)
    await bus.publish(TYPE)
    assert seen == []


async def subscriptions_are_listed(kit: Kit) -> None:
    """list_subscriptions shows id, type, description and limit of each, readable as dicts."""
    bus = kit.bus()
    name = bus.subscribe(TYPE, print, description="shows", max_concurrent=3)
    every = bus.subscribe(None, print)
    rows = {row["subscription_id"]: row for row in bus.list_subscriptions()}
    assert set(rows) == {name, every}
    assert [rows[name][key] for key in ("event_type", "description", "max_concurrent")] == [TYPE, "shows", 3]
    assert [rows[every][key] for key in ("event_type", "description", "max_concurrent")] == ["*", None, 1]


async def results_come_back(kit: Kit) -> None:
    """A handler's EventHandlerResult comes back to the publisher, with its message and metadata."""
    bus = kit.bus()

    async def handler(event: Any) -> Any:
        return kit.result(success=False, error_message="no disk", metadata={"files": 2})

    bus.subscribe(TYPE, handler)
    [result] = (await bus.publish(TYPE)).results
    assert (result.success, result.error_message, result.metadata["files"]) == (False, "no disk", 2)


async def nobody_listens(kit: Kit) -> None:
    """Publishing without subscribers gives an event and no results."""
    dispatched = await kit.bus().publish(TYPE)
    assert (list(dispatched.results), dict(dispatched.event.payload)) == ([], {})


async def a_failing_handler_is_isolated(kit: Kit) -> None:
    """A handler's exception reaches neither the publisher nor another handler, and is a failed result."""
    bus, seen = kit.bus(), list[str]()

    async def broken(event: Any) -> Any:
        raise ValueError("no disk")

    async def sound(event: Any) -> Any:
        seen.append("sound")
        return kit.result(success=True)

    first, second = bus.subscribe(TYPE, broken), bus.subscribe(TYPE, sound)
    results = (await bus.publish(TYPE)).results
    assert seen == ["sound"]
    assert sorted(result.success for result in results) == [False, True]
    assert first != second
    [failed] = [result for result in results if not result.success]
    assert "no disk" in failed.error_message


async def max_concurrent_limits_a_handler(kit: Kit) -> None:
    """At most max_concurrent calls of a handler run at once, and as many do."""
    bus, running, most = kit.bus(), 0, 0

    async def handler(event: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return kit.result(success=True)

    bus.subscribe(TYPE, handler, max_concurrent=3)
    await asyncio.gather(*(bus.publish(TYPE, {"n": n}, correlation_id=str(n)) for n in range(9)))
    assert most == 3, f"{most} at once"


async def handlers_run_side_by_side(kit: Kit) -> None:
    """Several handlers of one event run concurrently."""
    bus = kit.bus()

    async def handler(event: Any) -> Any:
        await asyncio.sleep(0.2)
        return kit.result(success=True)

    for _ in range(5):
        bus.subscribe(TYPE, handler)
    began = time.monotonic()
    await bus.publish(TYPE)
    assert time.monotonic() - began < 0.6


async def a_plain_function_may_handle(kit: Kit) -> None:
    """A handler may be a plain function, and return a coroutine."""
    bus, seen = kit.bus(), list[str]()

    async def track(event: Any) -> Any:
        seen.append("tracked")
        return kit.result(success=True)

    bus.subscribe(TYPE, lambda event: track(event))  # noqa: PLW0108 - as the page writes it
    [result] = (await bus.publish(TYPE)).results
    assert (seen, result.success) == (["tracked"], True), "the coroutine was never awaited" if not seen else ""


async def a_slow_plain_function_blocks_nobody(kit: Kit) -> None:
    """A plain function that blocks does not block the publisher's event loop."""
    bus, ticks = kit.bus(), 0
    bus.subscribe(TYPE, lambda event: time.sleep(0.3))

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await bus.publish(TYPE)
    ticking.cancel()
    assert ticks > 10, f"the loop stood still ({ticks} ticks in 0.3 s)"


async def the_logging_handler_comes_once(kit: Kit) -> None:
    """register_logging_handler may be called twice and subscribes once."""
    bus = kit.bus()
    bus.register_logging_handler()
    bus.register_logging_handler()
    assert [row["description"] for row in bus.list_subscriptions()] == ["workflow.logging"]
    [result] = (await bus.publish(TYPE, {"strategy": "fast"})).results
    assert result.success


async def an_event_knows_its_time_zone(kit: Kit) -> None:
    """An event's timestamp is a moment: it says its time zone."""
    event = (await kit.bus().publish(TYPE)).event
    assert event.metadata.timestamp.tzinfo is not None, "naive local time"
    assert abs(event.metadata.timestamp.timestamp() - time.time()) < 5


PROMISES = (
    handlers_get_what_was_published,
    names_and_strings_are_the_same,
    a_wildcard_gets_everything,
    a_predicate_filters,
    an_unsubscribed_handler_gets_nothing,
    subscriptions_are_listed,
    results_come_back,
    nobody_listens,
    a_failing_handler_is_isolated,
    max_concurrent_limits_a_handler,
    handlers_run_side_by_side,
    a_plain_function_may_handle,
    a_slow_plain_function_blocks_nobody,
    the_logging_handler_comes_once,
    an_event_knows_its_time_zone,
)
