"""The promises that the original breaks: six defects that were measured, each a check. Standard library only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

try:
    from tests.conformance.kit import Kit, until
except ImportError:  # as a script's neighbour, in the original's environment
    from kit import Kit, until  # type: ignore[import-not-found, no-redef]

__all__ = ("DEFECTS",)

TYPE = "hooks.strategy.started"


async def retries_happen(kit: Kit) -> None:
    """A handler that raises is called again, max_retries times, with growing pauses."""
    bus, calls = kit.bus(), list[float]()

    async def handler(event: Any) -> Any:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise ValueError("not yet")
        return kit.result(success=True)

    bus.subscribe(TYPE, handler, max_retries=5, retry_backoff=0.02)
    [result] = (await bus.publish(TYPE)).results
    assert (len(calls), result.success) == (3, True), f"called {len(calls)} times, success={result.success}"
    assert calls[1] > calls[0]


async def none_is_success(kit: Kit) -> None:
    """A handler that returns None has succeeded."""
    bus = kit.bus()

    async def handler(event: Any) -> None:
        return None

    bus.subscribe(TYPE, handler)
    [result] = (await bus.publish(TYPE)).results
    assert result.success is True, f"success={result.success}"


async def a_cancelled_handler_has_failed(kit: Kit) -> None:
    """A handler that was cancelled has not succeeded."""
    bus = kit.bus()

    async def handler(event: Any) -> Any:
        raise asyncio.CancelledError

    bus.subscribe(TYPE, handler)
    [result] = (await bus.publish(TYPE)).results
    assert result.success is False, f"success={result.success}"


def a_second_event_loop_works(kit: Kit) -> None:
    """A bus works in a second event loop as in the first, also where handlers have to wait."""
    bus, seen = kit.bus(), list[int]()

    async def handler(event: Any) -> Any:
        await asyncio.sleep(0.02)
        seen.append(event.payload["n"])
        return kit.result(success=True)

    async def publish(first: int) -> list[bool]:
        dispatched = await asyncio.gather(*(bus.publish(TYPE, {"n": n}) for n in range(first, first + 3)))
        return [result.success for each in dispatched for result in each.results]

    bus.subscribe(TYPE, handler)
    first, second = asyncio.run(publish(0)), asyncio.run(publish(3))
    assert (first, second) == ([True] * 3, [True] * 3), f"second loop: {second}"
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]


async def handlers_do_not_slow_the_engine(kit: Kit) -> None:
    """Publishing does not wait for slow handlers, and not for ever for one that hangs.

    The original's only way to publish is to await; ours has ``publish_nowait`` beside it.
    """
    bus, done = kit.bus(), list[int]()

    async def slow(event: Any) -> Any:
        await asyncio.sleep(0.2)
        done.append(1)
        return kit.result(success=True)

    async def hung(event: Any) -> Any:
        await asyncio.sleep(3600)

    name = bus.subscribe(TYPE, slow)
    began = time.monotonic()
    for _ in range(5):
        if hasattr(bus, "publish_nowait"):
            bus.publish_nowait(TYPE)
        else:
            await bus.publish(TYPE)
    took = time.monotonic() - began
    assert took < 0.6, f"five publishes beside a handler of 0.2 s took {took:.1f} s"
    assert await until(lambda: len(done) == 5), f"{len(done)} of 5 handled"
    bus.unsubscribe(name)
    bus.subscribe(TYPE, hung)
    [result] = (await bus.publish(TYPE, timeout=0.2)).results
    assert result.success is False


async def an_unknown_keyword_does_no_harm(kit: Kit) -> None:
    """A metadata keyword that the bus does not know never raises into the engine."""
    bus, seen = kit.bus(), list[Any]()
    bus.subscribe(TYPE, seen.append)
    await bus.publish(TYPE, {}, tenant="blue")
    [event] = seen
    assert event.metadata.headers["tenant"] == "blue"


DEFECTS = (
    retries_happen,
    none_is_success,
    a_cancelled_handler_has_failed,
    a_second_event_loop_works,
    handlers_do_not_slow_the_engine,
    an_unknown_keyword_does_no_harm,
)
