"""Retries fire, back off, and block only the run they belong to."""

from __future__ import annotations

import time

import anyio
import pytest

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.bus.retry import MAX_DELAY, delay_before
from otel_workflow.events import Event
from tests.bus.waiting import quiet

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_retries_really_fire_until_the_handler_succeeds(bus: WorkflowEventBus, sync: bool) -> None:
    calls: list[float] = []

    def handler(event: Event) -> None:
        calls.append(time.monotonic())
        if len(calls) < 4:
            raise OSError

    async def handler_async(event: Event) -> None:
        handler(event)

    bus.subscribe("a.b", handler if sync else handler_async, max_retries=5, retry_backoff=0.01)
    result = (await bus.publish("a.b")).results[0]
    assert (result.success, result.attempts, len(calls)) == (True, 4, 4)
    assert calls[1] - calls[0] >= 0.0075
    assert calls[3] - calls[2] >= 0.03
    assert bus.statistics().retried == 3


async def test_after_the_last_retry_the_delivery_has_failed(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        raise OSError("down")

    bus.subscribe("a.b", handler, max_retries=2, retry_backoff=0.001)
    result = (await bus.publish("a.b")).results[0]
    assert (result.success, result.attempts, result.error_message) == (False, 3, "down")
    books = bus.statistics()
    assert (books.delivered, books.failed, books.retried) == (1, 1, 2)


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_an_ordered_retry_blocks_its_own_run_only(bus: WorkflowEventBus, sync: bool) -> None:
    seen: list[tuple[str | None, int]] = []
    failed: set[str | None] = set()

    def handler(event: Event) -> None:
        if event.correlation_id == "a" and "a" not in failed:
            failed.add("a")
            raise OSError
        seen.append((event.correlation_id, event.payload["n"]))

    async def handler_async(event: Event) -> None:
        handler(event)

    bus.subscribe("a.b", handler if sync else handler_async, max_retries=1, retry_backoff=0.05)
    for n in range(3):
        for run in "ab":
            bus.publish_nowait("a.b", {"n": n}, correlation_id=run)
    await quiet(bus)
    assert seen == [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2)]


async def test_an_unordered_retry_blocks_nothing(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        if event.payload["n"] == 0 and not seen:
            raise OSError
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_retries=1, retry_backoff=0.05, ordered=False)
    for n in range(3):
        bus.publish_nowait("a.b", {"n": n})
    await quiet(bus)
    assert seen == [1, 2, 0]


async def test_a_retry_is_cut_short_by_unsubscribing(bus: WorkflowEventBus) -> None:
    tried = anyio.Event()

    async def handler(event: Event) -> None:
        tried.set()
        raise OSError

    name = bus.subscribe("a.b", handler, max_retries=1, retry_backoff=30)
    bus.publish_nowait("a.b")
    with anyio.fail_after(2):
        await tried.wait()
    await anyio.sleep(0)
    bus.unsubscribe(name)
    await quiet(bus)


async def test_what_waits_for_a_retry_counts_against_the_bounds(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        raise OSError

    bus.subscribe("a.b", handler, max_retries=1, retry_backoff=30, max_items=5, ordered=False)
    for _ in range(20):
        bus.publish_nowait("a.b")
        await anyio.sleep(0.001)
    books = bus.statistics()
    assert books.queued <= 6
    assert books.dropped["overflow"] >= 14
    await bus.aclose()


def test_delays_double_are_spread_and_have_an_end() -> None:
    assert all(0.375 <= delay_before(2, 0.5) <= 0.625 for _ in range(100))
    assert all(1.5 <= delay_before(4, 0.5) <= 2.5 for _ in range(100))
    assert delay_before(10_000, 0.5) <= MAX_DELAY * 1.25
    assert delay_before(2, -1) == 0.0
    assert len({delay_before(2, 0.5) for _ in range(20)}) > 1
