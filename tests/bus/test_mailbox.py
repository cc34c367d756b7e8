"""Queues are bounded in items and bytes, and say what they lost."""

from __future__ import annotations

import logging
import threading
from typing import Any, Literal

import anyio
import pytest

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.bus.mailbox import UNWEIGHED, Mailbox
from otel_workflow.events import Event
from tests.bus.waiting import eventually, quiet

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [3, 4]), ("drop_newest", [0, 1])])
async def test_a_full_queue_drops_as_agreed(
    bus: WorkflowEventBus, overflow: Literal["drop_oldest", "drop_newest"], kept: list[int]
) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_items=2, overflow=overflow)
    for n in range(5):
        bus.publish_nowait("a.b", {"n": n})
    await quiet(bus)
    assert seen == kept
    assert bus.statistics().dropped == {"overflow": 3}


async def test_a_queue_is_bounded_in_bytes(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_bytes=50_000)
    for n in range(10):
        bus.publish_nowait("a.b", {"n": n, "log": ["x" * 10_000]})
    await quiet(bus)
    assert seen == [6, 7, 8, 9]


async def test_an_event_bigger_than_the_queue_is_dropped_and_counted(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    bus.subscribe("a.b", handler, max_bytes=1000)
    result = (await bus.publish("a.b", {"log": "x" * 10_000})).results[0]
    assert (result.success, result.error_message) == (False, "dropped: overflow")


async def test_drop_oldest_takes_first_what_waits_behind_a_retry(bus: WorkflowEventBus) -> None:
    seen: list[int] = []
    failed = anyio.Event()

    async def handler(event: Event) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_items=3, max_retries=1, retry_backoff=0.05)
    bus.publish_nowait("a.b", {"n": 0})
    with anyio.fail_after(2):
        await failed.wait()
    for n in range(1, 8):
        bus.publish_nowait("a.b", {"n": n})
        await anyio.sleep(0)
    await quiet(bus)
    assert seen == [0, 6, 7]


async def test_a_subscription_that_loses_events_is_reported_once(
    bus: WorkflowEventBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(event: Event) -> None: ...

    name = bus.subscribe("a.b", handler, max_items=1)
    with caplog.at_level(logging.WARNING, "otel_workflow.bus"):
        for _ in range(3):
            for _ in range(5):
                bus.publish_nowait("a.b")
            await quiet(bus)
        await eventually(lambda: bool(caplog.records))
    assert len(caplog.records) == 1
    assert name in caplog.records[0].getMessage()


async def test_events_without_a_run_are_in_order_among_themselves(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        await anyio.sleep(0)
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler, max_concurrent=8)
    for n in range(30):
        bus.publish_nowait("a.b", {"n": n})
    await quiet(bus)
    assert seen == list(range(30))


async def test_the_run_of_an_event_goes_before_its_correlation(bus: WorkflowEventBus) -> None:
    barrier = threading.Barrier(2, timeout=5)
    bus.subscribe("a.b", lambda event: barrier.wait() and None, max_concurrent=2)
    for run in "ab":
        bus.emit(Event(run, "a.b", "test", 1, run_id=run, correlation_id="same"))
    await quiet(bus)
    assert bus.statistics().failed == 0


MIB = 1024 * 1024


def _only_box(bus: WorkflowEventBus) -> Mailbox:
    (box,) = bus._boxes.values()
    return box


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_came_in_unweighed_is_weighed_when_the_handler_waits(bus: WorkflowEventBus) -> None:
    async def stuck(event: Event) -> None:
        await anyio.sleep_forever()

    bus.subscribe("a.b", stuck)
    box = _only_box(bus)
    assert box.light
    for _ in range(40):
        bus.publish_nowait("a.b", {"log": "x" * MIB})
    assert box.bytes == 0
    await eventually(lambda: bus.statistics().dropped == {"overflow": 39 - 15})
    assert 15 * MIB < box.bytes <= 16 * MIB
    assert box.light == 0
    for _ in range(40):
        bus.publish_nowait("a.b", {"log": "x" * MIB})
    books = bus.statistics()
    assert (books.published, books.queued, books.dropped) == (80, 16, {"overflow": 64})


async def test_a_handler_that_waits_gets_what_was_weighed_meanwhile_in_order(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        if event.payload["n"] % 100 == 0:
            await anyio.sleep(0.001)
        seen.append(event.payload["n"])

    bus.subscribe("a.b", handler)
    box = _only_box(bus)

    def publish() -> None:
        for n in range(5000):
            bus.publish_nowait("a.b", {"n": n})

    await anyio.to_thread.run_sync(publish)
    await quiet(bus)
    assert seen == list(range(5000))
    await eventually(lambda: box.light == box.lightest)
    assert box.bytes == 0


@pytest.mark.parametrize(
    "terms", [{}, {"max_concurrent": 4}, {"ordered": False}, {"ordered": False, "max_concurrent": 4}]
)
async def test_the_bytes_of_a_mailbox_balance_after_retries(bus: WorkflowEventBus, terms: dict[str, Any]) -> None:
    heaviest = 0

    async def handler(event: Event) -> None:
        nonlocal heaviest
        heaviest = max(heaviest, box.bytes)
        if event.payload["n"] % 3 == 0:
            raise OSError
        if event.payload["n"] % 3 == 1:
            await anyio.sleep(0)

    bus.subscribe("a.b", handler, max_retries=1, retry_backoff=0.01, dead_letter=lambda event: None, **terms)
    box = _only_box(bus)
    for n in range(60):
        bus.emit(Event(str(n), "a.b", "test", 1, run_id=str(n % 7), payload={"n": n, "log": "x" * 10_000}))
    await quiet(bus)
    assert heaviest > 10_000
    assert box.dead is not None
    await eventually(lambda: box.light == box.lightest and box.bytes == 0 and box.dead.bytes == 0)
    books = bus.statistics()
    assert (books.published, books.delivered, books.failed) == (80, 80, 20)


async def test_events_that_wait_for_their_retry_are_weighed(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        raise OSError

    bus.subscribe("a.b", handler, max_retries=1, retry_backoff=30, ordered=False)
    box = _only_box(bus)
    for _ in range(20):
        bus.publish_nowait("a.b", {"log": "x" * 100_000})
        await anyio.sleep(0)
    await eventually(lambda: len(box.backing) == 20)
    assert box.bytes > 2_000_000


async def test_a_big_event_of_known_size_is_never_let_in_unweighed(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    bus.subscribe("a.b", handler)
    bus.emit(Event("1", "a.b", "test", 1), 17 * MIB)
    assert bus.statistics().dropped == {"overflow": 1}


async def test_a_small_queue_weighs_every_event(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None: ...

    bus.subscribe("a.b", handler, max_bytes=UNWEIGHED - 1)
    assert _only_box(bus).light == 0
