"""Publishing and subscribing, as a user sees it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from otel_workflow.bus import (
    EventHandlerResult,
    SubscriptionId,
    WorkflowEventBus,
    get_bus,
)
from otel_workflow.errors import ConfigError
from otel_workflow.events import Event, WorkflowEvent
from tests.bus.waiting import eventually, quiet

pytestmark = pytest.mark.anyio


async def test_an_async_handler_gets_the_event_in_its_own_loop(bus: WorkflowEventBus) -> None:
    threads: list[int] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(0)
        threads.append(threading.get_ident())

    bus.subscribe(WorkflowEvent.WORKFLOW_STARTED, handler)
    result = await bus.publish(WorkflowEvent.WORKFLOW_STARTED, {"step_id": "1"})
    assert threads == [threading.get_ident()]
    assert result.event.type == "workflow.started"
    assert [r.success for r in result.results] == [True]


async def test_a_sync_handler_never_blocks_the_loop(bus: WorkflowEventBus) -> None:
    release, threads = threading.Event(), list[int]()

    def handler(event: Event) -> None:
        threads.append(threading.get_ident())
        release.wait(5)

    bus.subscribe("a.b", handler)
    bus.publish_nowait("a.b")
    await eventually(lambda: bool(threads))
    assert threads != [threading.get_ident()]
    release.set()
    await quiet(bus)


async def test_a_plain_function_may_return_a_coroutine(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def track(event: Event) -> EventHandlerResult:
        await anyio.sleep(0)
        seen.append(threading.get_ident())
        return EventHandlerResult(success=False, error_message="no", metadata={"k": 1})

    bus.subscribe("a.b", lambda event: track(event))  # noqa: PLW0108 - not seen to be async
    result = (await bus.publish("a.b")).results[0]
    assert seen == [threading.get_ident()]
    assert (result.success, result.error_message, result.metadata["k"]) == (False, "no", 1)


async def test_partials_and_callable_objects_are_recognised_as_async(bus: WorkflowEventBus) -> None:
    seen: list[tuple[str, int]] = []

    class Handler:
        async def __call__(self, event: Event) -> None:
            seen.append(("object", threading.get_ident()))

    async def function(name: str, event: Event) -> None:
        seen.append((name, threading.get_ident()))

    bus.subscribe("a.b", Handler())
    bus.subscribe("a.b", partial(function, "partial"))
    await bus.publish("a.b")
    assert sorted(seen) == [("object", threading.get_ident()), ("partial", threading.get_ident())]


async def test_none_is_success_and_so_is_any_other_value(bus: WorkflowEventBus) -> None:
    for value in (None, False, 0, "text", object()):

        async def handler(event: Event, value: object = value) -> object:
            return value

        bus.subscribe("a.b", handler)
    assert [r.success for r in (await bus.publish("a.b")).results] == [True] * 5


async def test_a_result_says_which_subscription_how_often_and_how_long(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        await anyio.sleep(0.01)

    name = bus.subscribe("a.b", handler)
    result = (await bus.publish("a.b")).results[0]
    assert result.subscription_id == name == result.metadata["subscription_id"]
    assert result.attempts == 1
    assert 0.005 < result.duration < 1


async def test_unknown_metadata_becomes_headers_and_never_raises(bus: WorkflowEventBus) -> None:
    event = (await bus.publish("a.b", timeout=5, correlation_id="c", anything="goes", self_made=1)).event
    assert event.headers == {"anything": "goes", "self_made": 1, "timeout": 5}
    assert event.metadata.correlation_id == "c"
    assert bus.publish_nowait("a.b", priority="high").headers == {"priority": "high"}


async def test_the_payload_is_the_publishers_at_the_moment_of_publishing(bus: WorkflowEventBus) -> None:
    payload: dict[str, Any] = {"a": 1}
    event = bus.publish_nowait("a.b", payload)
    payload["a"] = 2
    assert event.payload == {"a": 1}


async def test_every_event_has_its_own_id(bus: WorkflowEventBus) -> None:
    assert len({bus.publish_nowait("a.b").id for _ in range(1000)}) == 1000


async def test_a_predicate_passes_over_events_and_says_so(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    bus.subscribe("a.b", handler, predicate=lambda event: event.payload.get("yes", False))
    skipped = (await bus.publish("a.b")).results[0]
    taken = (await bus.publish("a.b", {"yes": True})).results[0]
    assert (skipped.success, skipped.metadata.get("skipped")) == (True, True)
    assert "skipped" not in taken.metadata
    assert len(seen) == 1


async def test_a_predicate_that_raises_is_a_failed_result(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    bus.subscribe("a.b", handler, predicate=lambda event: event.payload["missing"])
    result = (await bus.publish("a.b")).results[0]
    assert isinstance(result.error, KeyError)


async def test_patterns_reach_their_events_and_no_others(bus: WorkflowEventBus) -> None:
    seen: dict[str | None, list[str]] = {pattern: [] for pattern in ("hooks.*", "*.failed", None, "a.b")}
    for pattern in list(seen):

        async def handler(event: Event, pattern: str | None = pattern) -> None:
            seen[pattern].append(event.type)

        bus.subscribe(pattern, handler)
    for event_type in ("hooks.strategy.failed", "a.b", "hooks", "workflow.failed"):
        await bus.publish(event_type)
    assert seen["hooks.*"] == ["hooks.strategy.failed"]
    assert seen["*.failed"] == ["hooks.strategy.failed", "workflow.failed"]
    assert seen["a.b"] == ["a.b"]
    assert len(seen[None]) == 4


async def test_subscribe_is_a_decorator(bus: WorkflowEventBus) -> None:
    seen: list[str] = []

    @bus.subscribe("a.*", description="d")
    async def handler(event: Event) -> None:
        seen.append(event.type)

    await bus.publish("a.b")
    assert seen == ["a.b"]
    assert handler.__name__ == "handler"


async def test_the_subscription_ends_with_its_with_block(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    with bus.subscribe("a.b", handler) as name:
        assert isinstance(name, SubscriptionId)
        assert bus.has_listeners
    assert not bus.has_listeners
    assert bus.unsubscribe(name) is False


async def test_subscriptions_are_listed_by_attribute_and_by_key(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    name = bus.subscribe(None, handler, description="all", max_concurrent=3)
    bus.subscribe(WorkflowEvent.WORKFLOW_FAILED, handler)
    first, second = bus.list_subscriptions()
    assert (first.subscription_id, first.event_type, first["description"], first["max_concurrent"]) == (
        name,
        "*",
        "all",
        3,
    )
    assert (second["event_type"], second.max_concurrent) == ("workflow.failed", 1)
    with pytest.raises(KeyError):
        first["nothing"]


async def test_an_impossible_subscription_is_refused_with_a_hint(bus: WorkflowEventBus) -> None:
    with pytest.raises(ConfigError, match="OW-131"):
        bus.subscribe("a.b", 3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="OW-132"):
        bus.subscribe("a.b", print, overflow="explode")  # type: ignore[call-overload]


async def test_max_concurrent_calls_run_at_once_and_no_more(bus: WorkflowEventBus) -> None:
    running, most, release = 0, 0, anyio.Event()

    async def handler(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    bus.subscribe("a.b", handler, max_concurrent=3, ordered=False)
    for _ in range(10):
        bus.publish_nowait("a.b")
    await eventually(lambda: running == 3)
    assert bus.statistics().queued == 10
    release.set()
    await quiet(bus)
    assert most == 3


async def test_sync_handlers_run_concurrently_up_to_their_limit(bus: WorkflowEventBus) -> None:
    barrier = threading.Barrier(4, timeout=5)
    bus.subscribe("a.b", lambda event: barrier.wait() and None, max_concurrent=4, ordered=False)
    for _ in range(8):
        bus.publish_nowait("a.b")
    await quiet(bus)
    assert bus.statistics().failed == 0


async def test_events_of_one_run_stay_in_order_while_runs_overlap(bus: WorkflowEventBus) -> None:
    seen: list[tuple[str | None, int]] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(0.002 if event.payload["n"] % 2 == 0 else 0)
        seen.append((event.correlation_id, event.payload["n"]))

    bus.subscribe("a.b", handler, max_concurrent=4)
    for n in range(20):
        for run in "abc":
            bus.publish_nowait("a.b", {"n": n}, correlation_id=run)
    await quiet(bus)
    for run in "abc":
        assert [n for name, n in seen if name == run] == list(range(20))
    assert seen != sorted(seen)


async def test_events_of_one_run_stay_in_order_in_threads_too(bus: WorkflowEventBus) -> None:
    seen: list[tuple[str | None, int]] = []

    def handler(event: Event) -> None:
        time.sleep(0.001 if event.payload["n"] % 2 == 0 else 0)
        seen.append((event.correlation_id, event.payload["n"]))

    bus.subscribe("a.b", handler, max_concurrent=4)
    for n in range(20):
        for run in "abc":
            bus.publish_nowait("a.b", {"n": n}, correlation_id=run)
    await quiet(bus)
    for run in "abc":
        assert [n for name, n in seen if name == run] == list(range(20))


async def test_publish_nowait_returns_before_any_handler_has_run(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    bus.subscribe("a.b", handler)
    bus.publish_nowait("a.b")
    assert seen == []
    await quiet(bus)
    assert len(seen) == 1


async def test_publish_waits_no_longer_than_its_timeout_and_the_handler_goes_on(bus: WorkflowEventBus) -> None:
    release, ended = anyio.Event(), anyio.Event()

    async def handler(event: Event) -> None:
        await release.wait()
        ended.set()

    bus.subscribe("a.b", handler)
    with anyio.fail_after(2):
        result = (await bus.publish("a.b", timeout=0.02)).results[0]
    assert (result.success, type(result.error)) == (False, TimeoutError)
    release.set()
    with anyio.fail_after(2):
        await ended.wait()
    await quiet(bus)
    assert bus.statistics().failed == 0


async def test_a_cancelled_publisher_does_not_stop_the_handlers(bus: WorkflowEventBus) -> None:
    ended = anyio.Event()

    async def handler(event: Event) -> None:
        await anyio.sleep(0.02)
        ended.set()

    bus.subscribe("a.b", handler)
    with anyio.move_on_after(0.005):
        await bus.publish("a.b")
    with anyio.fail_after(2):
        await ended.wait()
    await quiet(bus)
    assert bus.statistics().failed == 0


async def test_the_journal_has_the_event_before_any_handler(bus: WorkflowEventBus) -> None:
    order: list[str] = []

    async def handler(event: Event) -> None:
        order.append("handler")

    bus.subscribe("a.b", handler)
    bus.attach_sink(lambda event: order.append("journal"))
    await bus.publish("a.b")
    bus.publish_nowait("a.b")
    await quiet(bus)
    assert order == ["journal", "handler"] * 2


async def test_emit_leaves_the_journal_alone(bus: WorkflowEventBus) -> None:
    written: list[Event] = []
    bus.attach_sink(written.append)
    bus.emit(Event("1", "a.b", "test", 1))
    assert written == []


async def test_a_journal_that_raises_is_counted_and_hinders_nobody(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    def sink(event: Event) -> None:
        raise OSError(28, "No space left on device")

    bus.subscribe("a.b", handler)
    bus.attach_sink(sink)
    await bus.publish("a.b")
    assert len(seen) == 1
    assert bus.statistics().dropped == {"sink": 1}


async def test_a_dead_letter_handler_gets_what_failed_for_good(bus: WorkflowEventBus) -> None:
    dead: list[str] = []

    async def handler(event: Event) -> None:
        raise ValueError

    bus.subscribe("a.b", handler, max_retries=1, retry_backoff=0.001, dead_letter=lambda event: dead.append(event.id))
    event = (await bus.publish("a.b")).event
    await quiet(bus)
    assert dead == [event.id]


async def test_a_dead_letter_handler_that_raises_hinders_nobody(bus: WorkflowEventBus) -> None:
    async def fail(event: Event) -> None:
        raise ValueError

    bus.subscribe("a.b", fail, dead_letter=fail)
    await bus.publish("a.b")
    await quiet(bus)
    assert bus.statistics().failed == 2


async def test_unsubscribing_drops_what_waits_and_counts_it(bus: WorkflowEventBus) -> None:
    release, started = anyio.Event(), anyio.Event()

    async def handler(event: Event) -> None:
        started.set()
        await release.wait()

    name = bus.subscribe("a.b", handler)
    for _ in range(5):
        bus.publish_nowait("a.b")
    with anyio.fail_after(2):
        await started.wait()
    assert bus.unsubscribe(name) is True
    release.set()
    await quiet(bus)
    assert bus.statistics().dropped == {"unsubscribed": 4}


async def test_closing_drains_for_as_long_as_it_was_told(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(0.001)
        seen.append(event)

    bus.subscribe("a.b", handler)
    for _ in range(20):
        bus.publish_nowait("a.b")
    await bus.aclose(drain=5)
    assert len(seen) == 20
    assert bus.statistics().queued == 0


async def test_closing_without_drain_drops_and_cancels(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        await anyio.sleep_forever()

    bus.subscribe("a.b", handler)
    for _ in range(3):
        bus.publish_nowait("a.b")
    await eventually(lambda: any(box.lanes for box in bus._boxes.values()))
    with anyio.fail_after(3):
        await bus.aclose()
    books = bus.statistics()
    assert (books.queued, books.failed, books.dropped) == (0, 1, {"closed": 2})


async def test_publishing_into_a_closed_bus_is_counted_and_never_raises(bus: WorkflowEventBus) -> None:
    await bus.aclose()
    await bus.aclose()
    bus.publish_nowait("a.b")
    assert (await bus.publish("a.b")).results == []
    assert bus.statistics().dropped == {"closed": 2}


async def test_block_makes_the_awaiting_publisher_wait_for_room(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(0.001)
        seen.append(event)

    bus.subscribe("a.b", handler, max_items=2, overflow="block")
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(bus.publish, "a.b")
    assert len(seen) == 20
    assert bus.statistics().dropped == {}


async def test_block_gives_up_after_the_publishers_timeout(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        await anyio.sleep_forever()

    bus.subscribe("a.b", handler, max_items=1, overflow="block")
    bus.publish_nowait("a.b")
    await eventually(lambda: any(box.lanes for box in bus._boxes.values()))
    bus.publish_nowait("a.b")
    with anyio.fail_after(2):
        result = (await bus.publish("a.b", timeout=0.05)).results[0]
    assert result.success is False
    assert bus.statistics().dropped == {"overflow": 1}


async def test_block_is_drop_newest_for_publish_nowait(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_items=2, overflow="block")
    for n in range(5):
        bus.publish_nowait("a.b", {"n": n})
    await quiet(bus)
    assert seen == [0, 1]
    assert bus.statistics().dropped == {"overflow": 3}


async def test_the_publisher_inside_its_own_handler_is_not_waited_for(bus: WorkflowEventBus) -> None:
    results: list[EventHandlerResult] = []

    async def handler(event: Event) -> None:
        if event.payload["n"] == 0:
            results.extend((await bus.publish("a.b", {"n": 1})).results)

    bus.subscribe("a.b", handler)
    with anyio.fail_after(2):
        await bus.publish("a.b", {"n": 0})
    assert results[0].metadata["pending"] is True
    await quiet(bus)


async def test_handlers_do_not_see_the_publishers_context(bus: WorkflowEventBus) -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []

    async def handler(event: Event) -> None:
        seen.append(variable.get())

    bus.subscribe("a.b", handler)
    variable.set("publisher")
    await bus.publish("a.b")
    assert seen == ["none"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_idle_bus_leaves_no_task_behind(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        await asyncio.sleep(0)

    before = len(asyncio.all_tasks())
    bus.subscribe("a.b", handler)
    await bus.publish("a.b")
    await eventually(lambda: len(asyncio.all_tasks()) == before)


def test_the_bus_of_the_process_is_always_there() -> None:
    assert get_bus() is get_bus()


def test_events_for_a_stuck_handler_stay_within_the_configured_bytes(
    bus: WorkflowEventBus,
) -> None:
    """Twenty thousand here; ``benchmarks/bus.py`` publishes a million."""
    import tracemalloc

    stuck = threading.Event()
    bus.subscribe(None, lambda event: stuck.wait(10) and None, max_items=10**6, max_bytes=2**20)
    tracemalloc.start()
    for n in range(20_000):
        bus.publish_nowait("a.b", {"text": "x" * (n % 1000), "n": n})
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    books = bus.statistics()
    assert used < 2 * 2**20
    assert books.published == 20_000
    assert books.queued + books.dropped["overflow"] == 20_000
    stuck.set()


def test_subscribing_before_any_loop_and_publishing_in_several(make_bus: Callable[[], WorkflowEventBus]) -> None:
    bus, seen = make_bus(), list[str]()

    async def handler(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event.type)

    bus.subscribe("a.*", handler)

    async def publish() -> bool:
        return (await bus.publish("a.b")).results[0].success

    assert asyncio.run(publish())
    assert asyncio.run(publish())
    assert seen == ["a.b"] * 2
