"""Sends what waits: batches of at most 1 MiB, in order, until empty or out of time.

A batch that a backend refuses for good is split until the one bad span stands alone; that one is
counted and the rest is sent. Everything else that goes wrong leaves the spans where they are: in
the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.pump import Pump, Source, Waiting, request_of

__all__ = ("Client", "Shipment", "Shipper")

MAX_BYTES = 1024 * 1024
MAX_SPANS = 2048
READ_AT_ONCE = 16_384
"""Records; their spans wait in memory while they are sent, a few MiB."""


class Client(Protocol):
    """What a shipper sends through."""

    def connect(self, deadline: float) -> bool:
        """Open the connection; True when it stands."""
        ...

    def send(self, body: bytes, *, deadline: float) -> Answer:
        """Send one request and return the answer; never raises for the network."""
        ...

    def close(self) -> None:
        """Close the connection; a later send opens another one."""
        ...


@dataclass(slots=True)
class Shipment:
    """The books of a shipper: how many spans went where; ``last`` is the last answer."""

    delivered: int = 0
    refused: int = 0
    progress: int = 0
    failures: int = 0
    last: Answer | None = None
    reasons: dict[str, int] = field(default_factory=dict)

    def refuse(self, count: int, reason: str) -> None:
        """Count spans that a backend will never take."""
        self.refused += count
        self.reasons[reason] = self.reasons.get(reason, 0) + count


class Shipper:
    """Drains a pump into a client.

    ``save`` is called after every acknowledged batch, so that a crash sends at most one batch
    again. ``books.progress`` moves whenever the network does anything useful.
    """

    def __init__(
        self,
        pump: Pump,
        client: Client,
        save: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pump = pump
        self.client = client
        self.books = Shipment()
        self.not_before = 0.0
        self._save = save
        self._monotonic = monotonic
        self._pause = 0.0

    def connect(self, timeout: float) -> None:
        """Open the connection early, so that the first batch finds it open."""
        if self.client.connect(self._monotonic() + timeout):
            self.books.progress += 1

    def drain(self, sources: Iterable[Source], deadline: float, *, force: bool = False) -> bool:
        """Read the sources and send until nothing waits; True when that was reached in time."""
        known = list(sources)
        self.pump.read(known, force=force, budget=READ_AT_ONCE)
        while self.pump.waiting or self.pump.behind:
            if not self.pump.waiting:
                self.pump.read(known, force=force, budget=READ_AT_ONCE)
                continue
            now = self._monotonic()
            if now >= deadline or now < self.not_before:
                return False
            if not self._send(self.pump.batch(MAX_BYTES, MAX_SPANS), deadline):
                return False
        return True

    def _send(self, batch: list[Waiting], deadline: float) -> bool:
        """Send one batch; True when it is settled, one way or the other."""
        answer = self.client.send(request_of(batch), deadline=deadline)
        self.books.last = answer
        if answer.kind == "accepted":
            self.books.delivered += max(len(batch) - answer.rejected, 0)
            if answer.rejected:
                self.books.refuse(answer.rejected, answer.message or "rejected")
            return self._settle(batch)
        if answer.kind == "refused" and answer.status in (400, 413, 422):
            if len(batch) == 1:
                self.books.refuse(1, f"{answer.status} {answer.message}".strip())
                return self._settle(batch)
            middle = len(batch) // 2
            return self._send(batch[:middle], deadline) and self._send(batch[middle:], deadline)
        self.books.failures += 1
        self._pause = min(max(self._pause * 2, 0.5), 30.0)
        wait = answer.retry_after if answer.retry_after is not None else self._pause
        self.not_before = self._monotonic() + wait
        return False

    def _settle(self, batch: list[Waiting]) -> bool:
        self._pause = 0.0
        self.books.progress += 1
        self.pump.settled(batch)
        self._save()
        return True
