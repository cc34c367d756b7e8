"""The bus against a plain list of callables, and against blinker, pyee and aiosignal.

Run it with ``python -m benchmarks.bus``. Only the ratios mean anything, and only within one run: all
cases take turns in every round, so that a slow moment of the machine hits all of them alike.
A figure is the time from the first publication to the moment all handlers have had all events,
per event, in bursts of forty. The three peers are measured where they are installed: ``.venv/bin/pip install
blinker pyee aiosignal``.

The bus that this one replaces needs a Python 3.13 and an environment of its own, which the tests of
``tests/conformance`` build and keep: it runs there, with a plain list and ours beside it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.events import Event

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
BURST = 40
ORIGINAL = "0.46.4"
EVENT = Event("1", "phase.started", "bench", 1, run_id="0123456789abcdef", payload={"name": "lint", "attempt": 1})

seen = [0]
wanted = [0]


async def handler(_: object = None, **__: object) -> None:
    """Do nothing, countably."""
    seen[0] += 1


class PlainList:
    """The limit: a list of callables, awaited in turn; no isolation, no queue."""

    name = "plain list of callables"
    weight: float = 5

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.handlers = handlers

    async def publish(self, event: Event) -> None:
        for each in self.handlers:
            await each(event)

    async def drain(self) -> None:
        """Wait until every handler has had every event."""

    async def close(self) -> None:
        """Leave nothing behind."""


class Ours(PlainList):
    """``emit`` as instrumentation calls it, with isolation, order, limits, retries and statistics on.

    Instrumentation asks ``has_listeners`` first, so the column of no subscriber is that question's price.
    """

    name = "otel-workflow, `emit`"

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.bus = WorkflowEventBus()
        for each in handlers:
            self.bus.subscribe("phase.*", each, max_retries=3)

    async def publish(self, event: Event) -> None:
        bus = self.bus
        if bus.has_listeners:
            bus.emit(event)

    async def drain(self) -> None:
        while seen[0] < wanted[0]:
            await asyncio.sleep(0)

    async def close(self) -> None:
        await self.bus.aclose()


class OursMeasured(Ours):
    """``emit`` of an event whose size the journal has just found out."""

    name = "otel-workflow, `emit` with its size"

    async def publish(self, event: Event) -> None:
        bus = self.bus
        if bus.has_listeners:
            bus.emit(event, 900)


class OursMade(Ours):
    """``publish_nowait``: the event is made, too."""

    name = "otel-workflow, `publish_nowait`"
    weight = 2

    async def publish(self, event: Event) -> None:
        self.bus.publish_nowait("phase.started", event.payload)


class OursAwaited(Ours):
    """``await publish``: the event is made, and the results are waited for."""

    name = "otel-workflow, `await publish`"
    weight = 1

    async def publish(self, event: Event) -> None:
        await self.bus.publish("phase.started", event.payload)


class Blinker(PlainList):
    """blinker's ``send_async``."""

    name = "blinker"
    weight = 1

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.signal = importlib.import_module("blinker").Signal()
        self.kept: list[Any] = []
        for each in handlers:
            self.kept.append(_for_blinker(each))
            self.signal.connect(self.kept[-1])

    async def publish(self, event: Event) -> None:
        await self.signal.send_async(self, event=event)


def _for_blinker(each: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def receive(_sender: object, event: Event) -> None:
        await each(event)

    return receive


class Pyee(PlainList):
    """pyee's ``AsyncIOEventEmitter``."""

    name = "pyee"
    weight = 1

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.emitter = importlib.import_module("pyee.asyncio").AsyncIOEventEmitter()
        for each in handlers:
            self.emitter.add_listener("e", _for_pyee(each))

    async def publish(self, event: Event) -> None:
        self.emitter.emit("e", event)

    async def drain(self) -> None:
        await self.emitter.wait_for_complete()


def _for_pyee(each: Callable[..., Awaitable[None]]) -> Callable[[Event], Awaitable[None]]:
    async def receive(event: Event) -> None:
        await each(event)

    return receive


class Aiosignal(PlainList):
    """aiosignal: a frozen list, one after the other, no isolation."""

    name = "aiosignal"
    weight = 3

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.signal = importlib.import_module("aiosignal").Signal(self)
        for each in handlers:
            self.signal.append(each)
        self.signal.freeze()

    async def publish(self, event: Event) -> None:
        await self.signal.send(event)


class OursAlways(Ours):
    """``emit`` without the question before it."""

    name = "otel-workflow, `emit` unasked"

    async def publish(self, event: Event) -> None:
        self.bus.emit(event)


class Original(PlainList):
    """The bus this one replaces: its ``publish`` makes the event, too, and waits for the results."""

    name = f"crackerjack {ORIGINAL}, `await publish`"
    weight = 0.2

    def __init__(self, handlers: list[Callable[..., Awaitable[None]]]) -> None:
        self.bus = importlib.import_module("crackerjack.events.workflow_bus").WorkflowEventBus()
        for each in handlers:
            self.bus.subscribe("phase.started", each)

    async def publish(self, event: Event) -> None:
        await self.bus.publish("phase.started", event.payload)


CASES: tuple[type[PlainList], ...] = (
    PlainList, Ours, OursMeasured, OursAlways, OursMade, OursAwaited, Blinker, Pyee, Aiosignal,
)  # fmt: skip
BESIDE_ORIGINAL: tuple[type[PlainList], ...] = (PlainList, Original, Ours, OursMade, OursAwaited)


def _throughput(case: type[PlainList], subscribers: int) -> float:
    """Return seconds per event."""

    async def run() -> float:
        bus = case([handler] * subscribers)
        seen[0], wanted[0] = 0, subscribers
        await bus.publish(EVENT)
        await bus.drain()
        count = max(BURST, int(1000 * case.weight * SCALE) // BURST * BURST)
        seen[0] = wanted[0] = 0
        gc.collect()
        start = time.perf_counter()
        for _ in range(count // BURST):
            for _ in range(BURST):
                await bus.publish(EVENT)
            wanted[0] += BURST * subscribers
            await bus.drain()
        taken = time.perf_counter() - start
        if seen[0] != count * subscribers:
            message = f"{case.name} lost events: {seen[0]} of {count * subscribers}"
            raise AssertionError(message)
        await bus.close()
        return taken / count

    return asyncio.run(run())


def _latencies(case: type[PlainList]) -> list[float]:
    """Return how long each of many publications took beside a handler of 10 ms, sorted, in seconds."""

    async def slow(_: object = None, **__: object) -> None:
        await asyncio.sleep(0.010)

    async def run() -> list[float]:
        bus = case([handler, slow])
        taken = []
        for _ in range(20 if case in (PlainList, Blinker, Aiosignal) else 2000):
            start = time.perf_counter()
            await bus.publish(EVENT)
            taken.append(time.perf_counter() - start)
            await asyncio.sleep(0)
        if isinstance(bus, Ours):
            await bus.close()
        else:
            await bus.drain()
        return sorted(taken)

    return asyncio.run(run())


def _installed(case: type[PlainList]) -> bool:
    try:
        case([])
    except ImportError:
        return False
    return True


def _measure(subscribers: int, cases: tuple[type[PlainList], ...]) -> dict[str, float]:
    taken: dict[str, list[float]] = {case.name: [] for case in cases if _installed(case)}
    for number in range(ROUNDS + 1):
        order = cases if number % 2 else cases[::-1]
        for case in order:
            if case.name in taken:
                seconds = _throughput(case, subscribers)
                if number:  # the first round only warms up
                    taken[case.name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def _ratios() -> None:
    _table(CASES, [_measure(number, CASES) for number in (0, 1, 10)], platform.python_version())
    print("\nGoals of `emit`: 1.2, 3, 3. With no subscriber it is not called: `has_listeners` is asked first.\n")


def _table(cases: tuple[type[PlainList], ...], columns: list[dict[str, float]], version: str) -> None:
    print(f"### Per event, async handlers, base: a plain list (Python {version}, {ROUNDS} rounds)\n")
    print("| bus | no subscriber | 1 subscriber | 10 subscribers |\n|---|---|---|---|")
    for case in cases:
        if case.name not in columns[1]:
            print(f"| {case.name} | not installed | not installed | not installed |")
            continue
        cells = []
        for measured in columns:
            seconds = measured[case.name]
            cells.append(f"{seconds / measured[PlainList.name]:.2f} ({seconds * 1e6:.2f} µs)")
        print(f"| {case.name} | {' | '.join(cells)} |")


def _original() -> None:
    """Run the bus this one replaces, in the environment that the tests of conformance keep for it."""
    try:
        from tests.conformance.environment import NotBuilt, original_environment
        from tests.conformance.python313 import NoPython313
    except ImportError:
        print(f"crackerjack {ORIGINAL}'s bus: not at hand (`tests.conformance` cannot be imported)\n")
        return
    try:
        environment = original_environment()
    except (NoPython313, NotBuilt) as error:
        print(f"crackerjack {ORIGINAL}'s bus: not at hand ({error})\n")
        return
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [environment.python, "-m", "benchmarks.bus", "beside-original", environment.site(ORIGINAL)],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"crackerjack {ORIGINAL}'s bus: not at hand ({done.stderr.strip().splitlines()[-1:]})\n")
        return
    version, columns = json.loads(done.stdout.splitlines()[-1])
    _table(BESIDE_ORIGINAL, columns, version)
    print()


def _beside_original(site: str) -> None:
    """Print the version of Python and the columns of a table, for ``_original`` in another interpreter."""
    from tests.conformance.original import prepare

    prepare(site)
    columns = [_measure(number, BESIDE_ORIGINAL) for number in (0, 1, 10)]
    print(json.dumps([platform.python_version(), columns]))


def _slow_neighbour() -> None:
    print("### The publisher beside a handler of 10 ms\n\n| bus | median | p99 |\n|---|---|---|")
    for case in CASES:
        if case is OursAwaited:
            continue
        if not _installed(case):
            print(f"| {case.name} | not installed | not installed |")
            continue
        taken = _latencies(case)
        print(f"| {case.name} | {taken[len(taken) // 2] * 1e6:.1f} µs | {taken[len(taken) * 99 // 100] * 1e6:.1f} µs |")
    print("\nGoal: p99 of at most 50 µs.\n")


def _stuck() -> None:
    """Publish a million events to a handler that never ends."""

    async def run() -> None:
        limit = 4 * 1024 * 1024
        bus = WorkflowEventBus()

        async def stuck(_: Event) -> None:
            await asyncio.Event().wait()

        bus.subscribe(None, stuck, max_items=1_000_000, max_bytes=limit)
        bus.publish_nowait("phase.started")
        await asyncio.sleep(0.01)
        count = int(1_000_000 * min(1.0, SCALE))
        tracemalloc.start()
        for number in range(count // 100):
            bus.publish_nowait("phase.started", {"name": f"phase {number}", "log": "x" * 500})
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        for number in range(count - count // 100 - 1):
            bus.publish_nowait("phase.started", {"name": f"phase {number}", "log": "x" * 500})
        books = bus.statistics()
        lost = count - books.published
        balanced = books.published == books.delivered + books.queued + sum(books.dropped.values())
        print("### A million events and a handler that never ends\n")
        print("| published | queued | dropped | unaccounted | books balance | peak of the first 1 % (configured) |")
        print("|---|---|---|---|---|---|")
        print(
            f"| {books.published:,} | {books.queued:,} | {books.dropped.get('overflow', 0):,} | {lost} "
            f"| {'yes' if balanced else 'NO'} | {used / 2**20:.1f} MiB ({limit / 2**20:.1f} MiB) |\n"
        )
        await bus.aclose()

    asyncio.run(run())


def main() -> None:
    """Print the tables."""
    logging.disable(logging.CRITICAL)
    if sys.argv[1:2] == ["beside-original"]:
        _beside_original(sys.argv[2])
        return
    _ratios()
    _original()
    _slow_neighbour()
    _stuck()


if __name__ == "__main__":
    main()
