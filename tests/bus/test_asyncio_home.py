"""Handlers in asyncio loops: which one, and what happens when it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable

import pytest

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.events import Event
from tests.bus.conftest import until
from tests.bus.waiting import eventually, quiet


def test_two_consecutive_loops_share_one_bus(bus: WorkflowEventBus) -> None:
    async def main() -> None:
        loops: list[object] = []

        async def handler(event: Event) -> None:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())

        with bus.subscribe("a.b", handler, max_concurrent=2, ordered=False):
            for _ in range(3):
                bus.publish_nowait("a.b")
            await bus.publish("a.b")
            await quiet(bus)
        assert loops == [asyncio.get_running_loop()] * 4

    asyncio.run(main())
    asyncio.run(main())
    assert bus.statistics().failed == 0


def test_a_handler_that_outlives_its_loop_moves_to_the_buss_own(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(threading.get_ident())

    async def subscribe() -> None:
        bus.subscribe("a.b", handler)
        await bus.publish("a.b")

    async def publish() -> bool:
        return (await bus.publish("a.b", timeout=5)).results[0].success

    asyncio.run(subscribe())
    assert asyncio.run(publish())
    assert seen[0] == threading.get_ident() != seen[1]


def test_what_is_published_last_before_the_loop_ends_is_delivered(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        await asyncio.sleep(0.02)
        seen.append(event.payload["n"])

    async def main() -> None:
        bus.subscribe("a.b", handler)
        for n in range(5):
            bus.publish_nowait("a.b", {"n": n})
        await asyncio.sleep(0)

    asyncio.run(main())
    assert until(lambda: bus.statistics().queued == 0)
    books = bus.statistics()
    assert books.delivered == 5
    assert books.failed <= 1  # the one that was cancelled with its loop
    assert seen == list(range(books.failed, 5))


def test_a_handler_cut_off_with_its_loop_is_retried_elsewhere(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(threading.get_ident())
        await asyncio.sleep(0 if len(seen) > 1 else 10)

    async def main() -> None:
        bus.subscribe("a.b", handler, max_retries=1, retry_backoff=0.001)
        bus.publish_nowait("a.b")
        await eventually(lambda: bool(seen))

    asyncio.run(main())
    assert until(lambda: bus.statistics().queued == 0)
    assert bus.statistics().failed == 0
    assert len(set(seen)) == 2


def test_a_loop_closed_without_a_word_loses_its_handler_and_nothing_else(bus: WorkflowEventBus) -> None:
    seen: list[int] = []

    async def handler(event: Event) -> None:
        seen.append(event.payload["n"])
        await asyncio.sleep(0 if len(seen) > 1 else 100)

    async def main() -> None:
        bus.subscribe("a.b", handler)
        for n in range(3):
            bus.publish_nowait("a.b", {"n": n})
        await eventually(lambda: bool(seen))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.call_exception_handler = lambda context: None  # type: ignore[method-assign] # it complains of the pending task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.close()
    asyncio.run(bus.aclose(drain=5))
    assert seen == [0, 1, 2]
    assert bus.statistics().failed == 1


def test_three_loops_and_three_threads_at_once(bus: WorkflowEventBus) -> None:  # noqa: C901 - six actors
    seen: dict[str, list[tuple[int, int]]] = {}
    lock = threading.Lock()
    errors: list[BaseException] = []

    def in_loop(name: str) -> None:
        async def main() -> None:
            async def handler(event: Event) -> None:
                await asyncio.sleep(0)
                with lock:
                    seen.setdefault(name, []).append((threading.get_ident(), event.payload["n"]))

            bus.subscribe("a.b", handler)
            barrier.wait(5)
            for n in range(100):
                await bus.publish("a.b", {"n": n}, timeout=20)
            await eventually(lambda: len(seen[name]) == 600, 20)

        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)

    def in_thread() -> None:
        barrier.wait(5)
        for n in range(100):
            bus.publish_nowait("a.b", {"n": n})

    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=in_loop, args=(name,)) for name in "xyz"]
    threads += [threading.Thread(target=in_thread) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    for deliveries in seen.values():
        assert len({ident for ident, _ in deliveries}) == 1
    assert len({deliveries[0][0] for deliveries in seen.values()}) == 3


def test_publishing_from_a_thread_wakes_a_sleeping_loop(bus: WorkflowEventBus) -> None:
    async def main() -> None:
        got = asyncio.Event()

        async def handler(event: Event) -> None:
            got.set()

        bus.subscribe("a.b", handler)
        timer = threading.Timer(0.02, bus.publish_nowait, ("a.b",))
        timer.start()
        async with asyncio.timeout(2):
            await got.wait()
        timer.join()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12")
def test_an_eager_task_factory_does_not_run_handlers_in_the_publisher(bus: WorkflowEventBus) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)
        await asyncio.sleep(0)

    async def main() -> None:
        factory = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
        asyncio.get_running_loop().set_task_factory(factory)
        bus.subscribe("a.b", handler)
        for _ in range(3):
            bus.publish_nowait("a.b")
        assert seen == []
        await quiet(bus)
        assert len(seen) == 3

    asyncio.run(main())


def test_debug_mode_has_nothing_to_complain_of(bus: WorkflowEventBus, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 60  # it says that the machine was busy, too

        async def handler(event: Event) -> None:
            await asyncio.sleep(0)

        bus.subscribe("a.b", handler)
        await bus.publish("a.b")
        await asyncio.to_thread(bus.publish_nowait, "a.b")
        await quiet(bus)

    asyncio.run(main(), debug=True)
    assert [] == [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_asyncio_tools_work_in_handlers_that_do_not_wait(make_bus: Callable[[], WorkflowEventBus]) -> None:
    bus, seen = make_bus(), list[object]()

    async def handler(event: Event) -> None:
        async with asyncio.timeout(1):  # noqa: ASYNC100 - it wants to be in a task, nothing more
            seen.append(asyncio.current_task())

    async def main() -> None:
        bus.subscribe("a.b", handler)
        assert (await bus.publish("a.b")).results[0].success

    asyncio.run(main())
    assert seen[0] is not None
