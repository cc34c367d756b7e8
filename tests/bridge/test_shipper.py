"""Batches leave in order, a refused one is split, and whatever else goes wrong loses nothing."""

import time
from collections.abc import Callable, Iterator

import pytest

from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.in_memory import MemoryShipper
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, MemoryJournal
from otel_workflow.journal.record import SAMPLED, encode_event
from otel_workflow.testing import OtlpReceiver

Line = Callable[[int], MemoryShipper]
COMPLETED = TRANSITIONS.index("completed")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A real OTLP receiver."""
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def line(receiver: OtlpReceiver) -> Iterator[Line]:
    """Makes shippers to the receiver, and closes them."""
    made: list[MemoryShipper] = []

    def make(phases: int) -> MemoryShipper:
        made.append(MemoryShipper(finished(phases), client_of(receiver)))
        return made[-1]

    yield make
    for shipper in made:
        shipper.release()


def client_of(receiver: OtlpReceiver) -> OtlpHttpClient:
    """Return a client that sends to the receiver."""
    destination = Destination.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})
    assert destination is not None
    return OtlpHttpClient(destination)


def finished(phases: int) -> MemoryJournal:
    """Return a journal with so many finished phases, of ids 1, 2, 3."""
    journal = MemoryJournal(lambda: {"version": 1, "resource": {"service.name": "s"}, "scope": {}})
    for number in range(1, phases + 1):
        body = {"name": "work", "start": number, "outcome": "success"}
        ids = b"t" * 16, number.to_bytes(8, "big"), b"\0" * 8
        journal.write(EVENT, encode_event(COMPLETED, SAMPLED, *ids, number + 1, number, body))
    return journal


def ids(count: int) -> set[str]:
    """Return the ids of the first phases."""
    return {f"{number:016x}" for number in range(1, count + 1)}


def test_everything_that_waits_is_sent_once(receiver: OtlpReceiver, line: Line) -> None:
    """In one request when it fits."""
    made = line(10)
    assert made.drain(10.0)
    assert (10, ids(10), 1) == (made.shipper.books.delivered, set(receiver.span_ids), len(receiver.requests))


def test_an_unavailable_backend_keeps_everything_waiting(receiver: OtlpReceiver, line: Line) -> None:
    """And the next try waits for a while."""
    made = line(3)
    receiver.script(503)
    assert (False, 3) == (made.drain(10.0), len(made.pump.waiting))
    assert made.shipper.not_before > time.monotonic() - 10
    made.shipper.not_before = 0.0
    assert (True, ids(3)) == (made.drain(10.0), set(receiver.span_ids))


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_batch_is_split_until_the_bad_span_stands_alone(
    receiver: OtlpReceiver, line: Line, status: int
) -> None:
    """Of eight spans the first is refused in every request it is part of: seven arrive."""
    made = line(8)
    receiver.script(status, status, status, status)
    assert made.drain(10.0)
    books = made.shipper.books
    assert (7, 1, ids(8) - ids(1)) == (books.delivered, books.refused, set(receiver.span_ids))


def test_partial_success_is_counted_and_not_sent_again(receiver: OtlpReceiver, line: Line) -> None:
    """What a backend rejects inside an accepted request is gone, and the books say so."""
    made = line(5)
    receiver.script("partial:2")
    assert made.drain(10.0)
    assert (3, 2, 1) == (made.shipper.books.delivered, made.shipper.books.refused, len(receiver.requests))


def test_a_missing_permission_is_not_taken_for_a_bad_span(receiver: OtlpReceiver, line: Line) -> None:
    """401 and 404 are about the sender or the address: nothing is thrown away."""
    made = line(2)
    receiver.script(401)
    assert (False, 2, 0) == (made.drain(10.0), len(made.pump.waiting), made.shipper.books.refused)


def test_a_connection_that_breaks_loses_nothing(receiver: OtlpReceiver, line: Line) -> None:
    """The spans stay, and arrive on the next try."""
    made = line(2)
    receiver.script("reset")
    made.drain(10.0)
    made.shipper.not_before = 0.0
    assert (True, ids(2)) == (made.drain(10.0), set(receiver.span_ids))


def test_sent_and_sent_again_are_the_same_bytes(receiver: OtlpReceiver, line: Line) -> None:
    """A second shipper of the same journal gives byte-identical spans."""
    first = line(3)
    first.drain(10.0)
    line(3).drain(10.0)
    assert (6, 3) == (len(receiver.span_bytes()), len(set(receiver.span_bytes())))
