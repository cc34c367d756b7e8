"""A burst beside a slow collector: it is sent while it lasts, and what waits does not pile up in memory."""

from __future__ import annotations

from collections.abc import Iterator

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.shipper import AHEAD, MAX_SPANS, READ_AT_ONCE, Shipper
from otel_workflow.bridge.sources import MemorySource
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, MemoryJournal, Record
from otel_workflow.journal.record import SAMPLED, encode_event
from otel_workflow.testing import OtlpReceiver

PHASES = 20_000
COMPLETED = TRANSITIONS.index("completed")


class CountedSource(MemorySource):
    """A journal in memory that knows how many of its records were read."""

    taken = 0

    def read(self) -> Iterator[Record]:
        for record in super().read():
            self.taken += 1
            yield record


class WatchedClient(OtlpHttpClient):
    """The real client, which notes how much had been read, and how much waited, at its first request."""

    def __init__(self, endpoint: str, source: CountedSource, pump: Pump) -> None:
        super().__init__(Destination(f"{endpoint}/v1/traces"))
        self.source, self.pump = source, pump
        self.read_before = self.waited = 0

    def send(self, body: bytes, *, deadline: float) -> Answer:
        self.read_before = self.read_before or self.source.taken
        self.waited = max(self.waited, len(self.pump.waiting))
        return super().send(body, deadline=deadline)


def _recorded() -> CountedSource:
    journal = MemoryJournal(lambda: {"version": 1, "resource": {"service.name": "s"}, "scope": {}}, 64 << 20)
    for number in range(1, PHASES + 1):
        said = {"name": "work", "start": number, "outcome": "success"}
        ids = b"t" * 16, number.to_bytes(8, "big"), b"\0" * 8
        journal.write(EVENT, encode_event(COMPLETED, SAMPLED, *ids, number + 1, number, said))
    return CountedSource(journal)


def _shipped(receiver: OtlpReceiver) -> WatchedClient:
    pump, source = Pump(), _recorded()
    client = WatchedClient(receiver.endpoint, source, pump)
    shipper = Shipper(pump, client)
    for _ in range(PHASES):  # it may stop in between to read on
        if shipper.drain([source], float("inf")) and source.taken == PHASES:
            break
    client.close()
    return client


def test_a_burst_is_delivered_whole_and_once(receiver: OtlpReceiver) -> None:
    _shipped(receiver)
    books = receiver.check_delivery({f"{number:016x}" for number in range(1, PHASES + 1)})
    assert (f"{PHASES} emitted = {PHASES} delivered + 0 spooled + 0 dropped", 0) == (str(books), books.again)


def test_a_burst_is_sent_while_it_lasts_and_does_not_pile_up_in_memory(receiver: OtlpReceiver) -> None:
    client = _shipped(receiver)
    assert 0 < client.read_before <= MAX_SPANS + READ_AT_ONCE
    assert 0 < client.waited <= MAX_SPANS + READ_AT_ONCE


def test_while_nobody_answers_what_waits_does_not_pile_up_in_memory() -> None:
    """It is all on disk; but some of it is read, and tried again and again."""
    pump, source, clock = Pump(), _recorded(), [0.0]
    shipper = Shipper(pump, OtlpHttpClient(Destination("http://127.0.0.1:9/v1/traces")), monotonic=lambda: clock[0])
    for _ in range(30):
        clock[0] += 60
        assert not shipper.drain([source], clock[0] + 1)
    assert 0 < len(pump.waiting) <= AHEAD + READ_AT_ONCE
    shipper.ahead = PHASES
    for _ in range(30):
        assert not shipper.drain([source], clock[0] + 1)
    assert PHASES == len(pump.waiting)
