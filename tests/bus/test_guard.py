"""Trouble: whatever a handler does, neither the publisher nor another handler notices. One test per fault."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import anyio
import pytest

from otel_workflow.bus import EventHandlerResult, WorkflowEventBus
from otel_workflow.bus.delivery import MAX_DEPTH
from otel_workflow.events import Event
from tests.bus.waiting import eventually, quiet

pytestmark = pytest.mark.anyio

ANYTHING = [
    ValueError("x"),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    StopIteration(1),
    StopAsyncIteration(),
    IndexError("pop from an empty deque"),
    MemoryError(),
    BaseExceptionGroup("all", [KeyboardInterrupt(), ValueError("x")]),
    ExceptionGroup("some", [ValueError("x")]),
    asyncio.CancelledError(),
    type("Hostile", (BaseException,), {"__str__": lambda self: 1 / 0})(),
]


@pytest.mark.parametrize("wait", [False, True], ids=["at_once", "after_waiting"])
@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
async def test_a_failing_handler_does_not_stop_the_others(
    bus: WorkflowEventBus, error: BaseException, wait: bool
) -> None:
    seen: list[str] = []

    async def bad(event: Event) -> None:
        if wait:
            await anyio.sleep(0)
        raise error

    async def good(event: Event) -> None:
        seen.append(event.id)

    bus.subscribe("a.b", bad)
    bus.subscribe("a.b", good)
    for _ in range(3):
        with anyio.fail_after(5):
            results = (await bus.publish("a.b")).results
        assert [r.success for r in results] == [False, True]
        # Python makes a RuntimeError of a StopIteration that leaves a coroutine.
        assert results[0].error is error or isinstance(results[0].error, RuntimeError)
    assert len(seen) == 3
    assert bus.statistics().failed == 3


@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
async def test_a_failing_sync_handler_does_not_stop_the_others(bus: WorkflowEventBus, error: BaseException) -> None:
    def bad(event: Event) -> None:
        raise error

    bus.subscribe("a.b", bad)
    bus.subscribe("a.b", lambda event: None)
    for _ in range(3):
        results = (await bus.publish("a.b", timeout=5)).results
        assert [r.success for r in results] == [False, True]
        assert results[0].error is error


async def test_a_failure_is_logged_once_with_subscription_and_event(
    bus: WorkflowEventBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def bad(event: Event) -> None:
        raise ValueError("why")

    name = bus.subscribe("a.b", bad, max_retries=2, retry_backoff=0.001)
    with caplog.at_level(logging.ERROR, "otel_workflow.bus"):
        event = (await bus.publish("a.b")).event
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert name in lines[0]
    assert event.id in lines[0]
    assert "why" in lines[0]


async def test_a_hanging_handler_is_timed_out(bus: WorkflowEventBus) -> None:
    calls = 0

    async def handler(event: Event) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await anyio.sleep_forever()

    bus.subscribe("a.b", handler, timeout=0.02)
    with anyio.fail_after(5):
        first = (await bus.publish("a.b")).results[0]
        second = (await bus.publish("a.b")).results[0]
    assert isinstance(first.error, TimeoutError)
    assert second.success


async def test_a_hanging_handler_holds_up_no_other(bus: WorkflowEventBus) -> None:
    seen: list[str] = []

    async def hang(event: Event) -> None:
        await anyio.sleep_forever()

    async def good(event: Event) -> None:
        seen.append(event.id)

    async def slow(event: Event) -> None:
        await anyio.sleep(0)
        seen.append(event.id)

    for handler in (hang, good, hang, slow):
        bus.subscribe("a.b", handler)
    for _ in range(10):
        bus.publish_nowait("a.b")
    await eventually(lambda: len(seen) == 20)


async def test_a_hanging_sync_handler_is_abandoned_and_replaced(bus: WorkflowEventBus) -> None:
    release, calls = threading.Event(), list[int]()

    def handler(event: Event) -> None:
        calls.append(1)
        if len(calls) == 1:
            release.wait(10)

    bus.subscribe("a.b", handler, timeout=0.03)
    first = (await bus.publish("a.b", timeout=5)).results[0]
    second = (await bus.publish("a.b", timeout=5)).results[0]
    assert isinstance(first.error, TimeoutError)
    assert second.success
    release.set()


async def test_after_four_hanging_threads_nothing_more_is_begun_until_one_returns(bus: WorkflowEventBus) -> None:
    release, calls = threading.Event(), list[int]()

    def handler(event: Event) -> None:
        calls.append(1)
        if len(calls) <= 4:
            release.wait(10)

    bus.subscribe("a.b", handler, timeout=0.01)
    for _ in range(6):
        bus.publish_nowait("a.b")
    await eventually(lambda: bus.statistics().failed == 4)
    await anyio.sleep(0.05)
    assert len(calls) == 4
    assert bus.statistics().queued == 2
    release.set()
    await quiet(bus)
    assert len(calls) == 6


async def test_a_handler_that_resists_its_cancellation_is_abandoned(
    bus: WorkflowEventBus, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    monkeypatch.setattr(f"otel_workflow.bus.{anyio_backend}_home.GRACE", 0.02)
    release, calls = anyio.Event(), list[int]()

    async def handler(event: Event) -> None:
        calls.append(1)
        if len(calls) == 1:
            with anyio.CancelScope(shield=True):
                while not release.is_set():
                    try:
                        await release.wait()
                    except BaseException:
                        continue

    bus.subscribe("a.b", handler, timeout=0.02)
    with anyio.fail_after(5):
        first = (await bus.publish("a.b")).results[0]
        second = (await bus.publish("a.b")).results[0]
    assert isinstance(first.error, TimeoutError)
    assert second.success
    release.set()


async def test_a_handler_cancelled_by_its_own_scope_is_only_what_it_made_of_it(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        with anyio.move_on_after(0.001):
            await anyio.sleep_forever()

    bus.subscribe("a.b", handler)
    assert (await bus.publish("a.b")).results[0].success


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_is_cancelled_is_a_failed_result(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    seen: list[Event] = []

    async def good(event: Event) -> None:
        seen.append(event)

    bus.subscribe("a.b", handler)
    bus.subscribe("a.b", good)
    for _ in range(2):
        results = (await bus.publish("a.b", timeout=5)).results
        assert [r.success for r in results] == [False, True]
        assert isinstance(results[0].error, asyncio.CancelledError)
    assert len(seen) == 2


async def test_a_slow_handler_does_not_delay_the_publisher(bus: WorkflowEventBus) -> None:
    import statistics
    import time

    async def slow(event: Event) -> None:
        await anyio.sleep(0.01)

    bus.subscribe("a.b", slow)
    taken = []
    for _ in range(500):
        start = time.perf_counter()
        bus.publish_nowait("a.b")
        taken.append(time.perf_counter() - start)
    assert statistics.median(taken) < 0.005  # of the 10 ms that each would take if it waited
    await bus.aclose()


async def test_republishing_in_a_cycle_ends_at_the_depth_limit_and_is_counted(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)
        bus.publish_nowait("a.b")

    bus.subscribe("a.b", handler)
    bus.publish_nowait("a.b")
    await quiet(bus)
    assert len(seen) == MAX_DEPTH + 1
    assert bus.statistics().dropped == {"depth": 1}


async def test_a_cycle_of_awaited_publications_ends_too(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def ping(event: Event) -> None:
        seen.append(event)
        await bus.publish("a.pong")

    async def pong(event: Event) -> None:
        seen.append(event)
        await bus.publish("a.ping")

    bus.subscribe("a.ping", ping)
    bus.subscribe("a.pong", pong)
    with anyio.fail_after(5):
        await bus.publish("a.ping")
    await quiet(bus)
    assert len(seen) == MAX_DEPTH + 1
    assert bus.statistics().dropped == {"depth": 1}


async def test_a_cycle_of_sync_handlers_ends_too(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    def handler(event: Event) -> None:
        seen.append(event)
        bus.publish_nowait("a.b")

    bus.subscribe("a.b", handler)
    bus.publish_nowait("a.b")
    await quiet(bus)
    assert len(seen) == MAX_DEPTH + 1


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_a_handler_may_unsubscribe_itself(bus: WorkflowEventBus, sync: bool) -> None:
    seen: list[Event] = []

    def forget(event: Event) -> None:
        seen.append(event)
        assert bus.unsubscribe(name)

    async def forget_too(event: Event) -> None:
        forget(event)

    name = bus.subscribe("a.b", forget if sync else forget_too)
    for _ in range(3):
        bus.publish_nowait("a.b")
    await quiet(bus)
    assert len(seen) == 1
    assert bus.statistics().dropped in ({"unsubscribed": 2}, {})  # a fast thread may be first


async def test_a_handler_may_subscribe_another(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def later(event: Event) -> None:
        seen.append(event)

    async def handler(event: Event) -> None:
        if not seen:
            bus.subscribe("a.b", later)

    bus.subscribe("a.b", handler)
    await bus.publish("a.b")
    await bus.publish("a.b")
    assert len(seen) == 1


async def test_a_handler_may_close_the_bus(bus: WorkflowEventBus) -> None:
    closed = anyio.Event()

    async def handler(event: Event) -> None:
        await bus.aclose()
        closed.set()

    bus.subscribe("a.b", handler)
    bus.publish_nowait("a.b")
    with anyio.fail_after(5):
        await closed.wait()
    await quiet(bus)


async def test_a_handler_that_says_it_failed_is_counted_and_not_retried(bus: WorkflowEventBus) -> None:
    calls = 0

    async def handler(event: Event) -> EventHandlerResult:
        nonlocal calls
        calls += 1
        return EventHandlerResult(success=False, error_message="no")

    bus.subscribe("a.b", handler, max_retries=3, retry_backoff=0.001)
    result = (await bus.publish("a.b")).results[0]
    assert (calls, result.success, result.error_message, bus.statistics().failed) == (1, False, "no", 1)


async def test_a_handler_that_closes_over_a_generator_ends_cleanly(bus: WorkflowEventBus) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise GeneratorExit

    async def handler(event: Event) -> None:
        async for _ in numbers():
            pass

    bus.subscribe("a.b", handler)
    assert isinstance((await bus.publish("a.b", timeout=5)).results[0].error, GeneratorExit)


async def test_a_hostile_payload_hurts_nobody(bus: WorkflowEventBus) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError(name)

        def __len__(self) -> int:
            raise SystemExit

        def __eq__(self, other: object) -> bool:
            raise KeyboardInterrupt

        __hash__ = None  # type: ignore[assignment]

    class Mapping(dict[str, object]):
        def keys(self) -> object:  # type: ignore[override]
            raise SystemExit

        def values(self) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

        def __iter__(self) -> object:  # type: ignore[override]
            raise GeneratorExit

    recursive: dict[str, object] = {}
    recursive["me"] = recursive
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    bus.subscribe("a.b", handler)
    for payload in (
        {"x": Hostile()},
        recursive,
        Mapping(a=1),
        {1: 2},
        {"x": [Hostile()] * 1000},
        {"s": "\ud800" * 10, "n": float("nan")},
    ):
        await bus.publish("a.b", payload)  # type: ignore[arg-type]
    assert len(seen) == 6
