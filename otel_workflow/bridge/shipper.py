"""Sends what waits: batches of at most 1 MiB, in order, until empty or out of time.

A batch that a backend refuses for good is split until the one bad span stands alone; that one is
counted and kept as a dead letter, and the rest is sent. One that is too large is trimmed first.
Everything else that goes wrong leaves the spans where they are: in the journal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.pump import Pump, Source, Waiting, request_of
from otel_workflow.bridge.shipment import Shipment, words_of
from otel_workflow.bridge.trimming import trim_span

__all__ = ("Client", "Shipment", "Shipper")

MAX_BYTES = 1024 * 1024
MAX_SPANS = 2048
READ_AT_ONCE = 1024
"""Records; all phases among them that are unusual wait as objects. What is unread costs nothing, it is on disk."""
AHEAD = 2 * MAX_SPANS
_JITTER = 0.25
_SMALLEST = 16 * 1024  # bytes; a backend that does not take a span of this size takes none


class Client(Protocol):
    """What a shipper sends through."""

    def connect(self, deadline: float) -> bool:
        """Open the connection; True when it stands."""
        ...

    def send(self, body: bytes, *, deadline: float) -> Answer:
        """Send one request and return the answer; never raises for the network."""
        ...

    def interrupt(self) -> None:
        """Make a connect or send that another thread waits in fail at once; harmless when none does."""
        ...

    def before_fork(self) -> None:
        """Give up what a forked child must not inherit; called while nobody sends."""
        ...

    def close(self) -> None:
        """Close the connection; a later send opens another one."""
        ...


@dataclass(slots=True)
class _Trial:
    """What is known of one batch while its parts are tried.

    ``suspects`` were refused alone, but perhaps for a fault of the backend; ``proven`` says that
    it took some other part, ``budget`` how many more doubtful answers are looked into.
    """

    suspects: list[tuple[Waiting, Answer]] = field(default_factory=list)
    proven: bool = False
    budget: int = 32


def _chance() -> float:
    """Return any number from 0 to 1; two processes that were forked from one do not share it."""
    return int.from_bytes(os.urandom(2), "big") / 0xFFFF


class Shipper:
    """Drains a pump into a client.

    ``save`` is called after every acknowledged batch, so that a crash sends at most one batch
    again, and after every failure. ``bury`` keeps a span that no backend will take, and returns
    whether it could. ``ahead`` is how many spans, or KiB of them, may wait before it stops to read
    on, ``turn`` (s) how long a drain may begin new requests, so that the last of them has its time
    as well: one that is cut off may have been taken, and is sent again. ``piece`` is how many records
    are read at once; each piece is progress. ``chance`` gives a number
    from 0 to 1, by which shippers that failed together try again at different times.
    """

    def __init__(
        self,
        pump: Pump,
        client: Client,
        save: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        bury: Callable[[Waiting, Answer], bool] = lambda *_: False,
        chance: Callable[[], float] = _chance,
    ) -> None:
        self.pump = pump
        self.client = client
        self.books = Shipment()
        self.not_before = 0.0
        self.ahead = AHEAD
        self.piece = READ_AT_ONCE
        self.turn = float("inf")
        self._chance = chance
        self._save = save
        self._monotonic = monotonic
        self._pause = 0.0
        self._doubts = 0
        self._bury = bury

    def connect(self, timeout: float) -> None:
        """Open the connection early, so that the first batch finds it open; not while told to wait."""
        if self._monotonic() < self.not_before:
            return
        if self.client.connect(self._monotonic() + timeout):
            self.books.progress += 1
        else:
            self._wait_longer()

    def drain(self, sources: Iterable[Source], deadline: float, *, force: bool = False) -> bool:
        """Read the sources and send until nothing waits; True when that was reached in time.

        Reads on only where less than a batch waits: however much there is, little is in memory.
        """
        known, over = list(sources), min(deadline, self._monotonic() + self.turn)
        if self._holds_less_than(self.ahead):
            self._read(known, force=force)
        while self.pump.waiting or self.pump.behind:
            now = self._monotonic()
            if now >= over or now < self.not_before:
                return False
            if self.pump.behind and self._holds_less_than(MAX_SPANS):  # a batch, or what is left of one
                self._read(known, force=force)
            elif not self._send(self.pump.batch(MAX_BYTES, MAX_SPANS), deadline):
                return False
        return True

    def _read(self, sources: list[Source], *, force: bool) -> None:
        """Read a piece; in it lies progress, as in an answer: patience is for what stands still."""
        queued = self.pump.queued
        self.pump.read(sources, force=force, budget=self.piece)
        self.books.progress += self.pump.behind and self.pump.queued > queued

    def _holds_less_than(self, spans: int) -> bool:
        return len(self.pump.waiting) < spans and self.pump.size < spans * 1024

    def _send(self, batch: list[Waiting], deadline: float) -> bool:
        """Send one batch, in parts where it must be; True when it is settled, one way or the other."""
        trial = _Trial()
        if not self._try(batch, deadline, trial):
            return False
        if trial.suspects:  # nothing was taken meanwhile: it may well be the backend's fault
            return self._fail(trial.suspects[0][1])
        return True

    def _try(self, batch: list[Waiting], deadline: float, trial: _Trial, limit: int = MAX_BYTES) -> bool:
        """Send a part of a batch; False when everything from here on stays waiting."""
        body = request_of(batch, self.pump.breathe)
        if len(body) > MAX_BYTES and len(batch) > 1:  # many small spans, each with a resource of its own
            return self._halve(batch, deadline, trial)
        trimmed = len(batch) == 1 and len(batch[0].span) > limit
        if trimmed:
            smaller = trim_span(batch[0].span, limit)
            if smaller is None:
                return self._judge(batch[0], Answer("refused", message="too large, and cannot be trimmed"), trial)
            body = request_of([replace(batch[0], span=smaller)])
        answer = self.books.last = self.client.send(body, deadline=deadline)
        if answer.kind == "accepted":
            self.books.trimmed += trimmed
            return self._accepted(batch, answer, trial)
        if not self._is_worth_splitting(answer, trial):
            return self._fail(answer)
        return self._divide(batch, answer, deadline, trial, limit)

    def _divide(self, batch: list[Waiting], answer: Answer, deadline: float, trial: _Trial, limit: int) -> bool:
        """Try what was refused again in two halves, a single span smaller, or give it up."""
        if len(batch) > 1:
            return self._halve(batch, deadline, trial)
        limit = min(limit, len(batch[0].span)) // 4
        if answer.blames == "size" and limit >= _SMALLEST:
            return self._try(batch, deadline, trial, limit)
        return self._judge(batch[0], answer, trial)

    def _halve(self, batch: list[Waiting], deadline: float, trial: _Trial) -> bool:
        middle = len(batch) // 2
        return self._try(batch[:middle], deadline, trial) and self._try(batch[middle:], deadline, trial)

    def _is_worth_splitting(self, answer: Answer, trial: _Trial) -> bool:
        """True when the fault may be with one span of the batch.

        An answer that is as likely the backend's own failure is looked into with few requests,
        and where it says that it may pass (HTTP's 500) only when it comes again.
        """
        if answer.blames != "either":
            return bool(answer.blames)
        self._doubts += 1
        trial.budget -= 1
        return trial.budget > 0 and (answer.kind == "refused" or self._doubts > 1)

    def _judge(self, waiting: Waiting, answer: Answer, trial: _Trial) -> bool:
        """Give up a span that was refused alone, or suspect it until another one is taken."""
        if trial.suspects or (answer.blames == "either" and not trial.proven):
            trial.suspects.append((waiting, answer))  # in order: what comes later is not settled before it
            return True
        return self._give_up(waiting, answer)

    def _accepted(self, batch: list[Waiting], answer: Answer, trial: _Trial) -> bool:
        suspects, trial.suspects, trial.proven = trial.suspects, [], True
        for waiting, why in suspects:
            self._give_up(waiting, why)
        self._doubts = 0
        rejected = min(answer.rejected, len(batch))
        self.books.delivered += len(batch) - rejected
        if rejected:
            self.books.refuse(rejected, answer.message or "rejected")
        self.books.last_success = self.pump.now()
        return self._settle(batch)

    def _give_up(self, waiting: Waiting, answer: Answer) -> bool:
        self.books.refuse(1, words_of(answer))
        if self._bury(waiting, answer):
            self.books.dead += 1
        else:
            self.books.dead_not_kept += 1
        return self._settle([waiting])

    def _fail(self, answer: Answer) -> bool:
        self.books.fail(answer, self.pump.now())
        self._wait_longer(answer.retry_after)
        self._save()
        return False

    def _wait_longer(self, asked: float | None = None) -> None:
        self._pause = min(max(self._pause * 2, 0.5), 30.0)
        varied = min(self._pause * (1 + _JITTER * (2 * self._chance() - 1)), 30.0)
        self.not_before = self._monotonic() + (varied if asked is None else asked)

    def _settle(self, batch: list[Waiting]) -> bool:
        self._pause = 0.0
        self.books.progress += 1
        self.pump.settled(batch)
        self._save()
        return True
