"""Handlers in trio runs."""

from __future__ import annotations

import threading

import trio

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.events import Event
from tests.bus.conftest import until


def test_a_handler_that_outlives_its_run_moves_to_the_buss_own_run(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        await trio.sleep(0.001)
        seen.append(threading.get_ident())

    async def subscribe() -> None:
        bus.subscribe("a.b", handler)
        await bus.publish("a.b")

    async def publish() -> bool:
        return (await bus.publish("a.b", timeout=5)).results[0].success

    trio.run(subscribe)
    assert trio.run(publish)
    assert seen[0] == threading.get_ident() != seen[1]


def test_what_is_published_last_before_the_run_ends_is_delivered(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(event.payload["n"])

    async def main() -> None:
        bus.subscribe("a.b", handler)
        for n in range(5):
            bus.publish_nowait("a.b", {"n": n})

    trio.run(main)
    assert until(lambda: bus.statistics().queued == 0)
    assert seen == list(range(5))


def test_a_handler_cut_off_with_its_run_is_a_failed_delivery(bus: WorkflowEventBus) -> None:
    started = threading.Event()

    async def handler(event: Event) -> None:
        started.set()
        await trio.sleep_forever()

    async def main() -> None:
        bus.subscribe("a.b", handler)
        bus.publish_nowait("a.b")
        while not started.is_set():
            await trio.sleep(0.001)

    trio.run(main)
    assert until(lambda: bus.statistics().queued == 0)
    assert bus.statistics().failed == 1


def test_a_nursery_in_a_handler_is_cancelled_as_a_whole(bus: WorkflowEventBus) -> None:
    async def handler(event: Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    async def main() -> None:
        bus.subscribe("a.b", handler, timeout=0.02)
        with trio.fail_after(5):
            result = (await bus.publish("a.b")).results[0]
        assert isinstance(result.error, TimeoutError)

    trio.run(main)


def test_publishing_from_a_thread_wakes_a_sleeping_run(bus: WorkflowEventBus) -> None:
    async def main() -> None:
        got = trio.Event()

        async def handler(event: Event) -> None:
            got.set()

        bus.subscribe("a.b", handler)
        timer = threading.Timer(0.02, bus.publish_nowait, ("a.b",))
        timer.start()
        with trio.fail_after(2):
            await got.wait()
        timer.join()

    trio.run(main)
