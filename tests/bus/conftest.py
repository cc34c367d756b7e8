"""Both loops, a bus whose books are checked after every test, and ways to wait without sleeping blindly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from otel_workflow.bus import WorkflowEventBus

PATIENCE = 5.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def balanced(bus: WorkflowEventBus) -> bool:
    books = bus.statistics()
    return books.published == books.delivered + books.queued + sum(books.dropped.values())


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait, blocking, until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture
def make_bus() -> Iterator[Callable[[], WorkflowEventBus]]:
    """Make buses; after the test the books of each must balance, and again when it is closed."""
    made: list[WorkflowEventBus] = []

    def make() -> WorkflowEventBus:
        made.append(WorkflowEventBus())
        return made[-1]

    yield make
    for bus in made:
        assert until(partial(balanced, bus), 1), bus.statistics()
        bus._stop()
        assert until(partial(balanced, bus), 1), bus.statistics()
        assert bus.statistics().queued == 0


@pytest.fixture
def bus(make_bus: Callable[[], WorkflowEventBus]) -> WorkflowEventBus:
    return make_bus()
