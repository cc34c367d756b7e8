"""The counters lose nothing, whoever writes them."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator

import pytest

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.bus.statistics import Books
from otel_workflow.events import Event


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_no_count_is_lost_between_threads(frequent_switches: None) -> None:
    books = Books()

    def add() -> None:
        for _ in range(50_000):
            books.published += 1

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books.published == 400_000


def test_the_books_balance_under_many_publishing_threads(bus: WorkflowEventBus, frequent_switches: None) -> None:
    bus.subscribe("a.*", lambda event: None, max_items=50)
    bus.subscribe("a.*", lambda event: None, max_items=50, overflow="drop_newest")

    async def handler(event: Event) -> None: ...

    bus.subscribe("a.*", handler, max_bytes=20_000)

    def publish() -> None:
        for _ in range(2000):
            bus.publish_nowait("a.b", {"x": 1})

    threads = [threading.Thread(target=publish) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    from tests.bus.conftest import until

    assert until(lambda: bus.statistics().queued == 0)
    books = bus.statistics()
    assert books.published == 36_000 == books.delivered + sum(books.dropped.values())
    assert all(box.bytes == 0 for box in bus._boxes.values())


def test_statistics_cannot_be_changed(bus: WorkflowEventBus) -> None:
    books = bus.statistics()
    with pytest.raises(dataclasses.FrozenInstanceError):
        books.published = 1  # type: ignore[misc]


def test_an_event_nobody_wants_is_no_delivery(bus: WorkflowEventBus) -> None:
    bus.publish_nowait("a.b")
    books = bus.statistics()
    assert (books.published, books.delivered, books.dropped) == (0, 0, {})
