"""Ships a journal once: waits for the lock, sends while it helps, and knows when to stop.

Without an explicit deadline nothing is waited for longer than 0.3 s without progress: a
collector that is gone must not hold up a build. Who gives a deadline wants to wait: then answers
that ask for patience (429, 503, Retry-After) and silence are borne until it is over; a refused
connection is a fact, and is not asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import Count, DirectoryShipper, count_waiting
from otel_workflow.bridge.shipper import Client
from otel_workflow.journal.upkeep import MAX_BYTES

__all__ = ("PATIENCE", "Shipped", "ship_once")

PATIENCE = 0.3
"""Longest wait without progress, in seconds, where no deadline was given outright."""
_LAST_WORD = 0.05
_LOCK_PAUSE, _LOCK_PAUSE_MOST = 0.02, 0.25


@dataclass(frozen=True, slots=True)
class Shipped:
    """What came of it: spans delivered, refused for good (why), and still waiting.

    ``elsewhere`` spans wait too, but were recorded for another endpoint and are not ours to send.
    Where ``complete`` is False counting stopped early: then at least so many wait.
    """

    delivered: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    waiting: int = 0
    stopped: Literal["done", "locked", "unanswered", "deadline"] = "done"
    said: str = ""
    elsewhere: int = 0
    complete: bool = True


class _Impatient:
    """A client whose every step ends after ``patience`` seconds, or at the deadline if that is sooner."""

    def __init__(self, client: Client, patience: float) -> None:
        self._client = client
        self._patience = patience

    def connect(self, deadline: float) -> bool:
        return self._client.connect(min(deadline, time.monotonic() + self._patience))

    def send(self, body: bytes, *, deadline: float) -> Answer:
        return self._client.send(body, deadline=min(deadline, time.monotonic() + self._patience))

    def interrupt(self) -> None:
        self._client.interrupt()

    def before_fork(self) -> None:
        self._client.before_fork()

    def close(self) -> None:
        self._client.close()


def ship_once(
    directory: Path,
    client: Client,
    key: str,
    *,
    deadline: float,
    patient: bool,
    tell: Callable[[str], None] = lambda _: None,
    max_bytes: int = MAX_BYTES,
    run_ttl: float = 86_400.0,
) -> Shipped:
    """Deliver everything that is final, and interrupted phases too; at most ``deadline`` seconds."""
    end = time.monotonic() + deadline
    hasty = _Impatient(client, deadline if patient else PATIENCE)
    line = DirectoryShipper(directory, hasty, key, max_bytes=max_bytes, run_ttl=run_ttl)
    if not _take_turn(line, end, tell):
        left, other = count_waiting(directory, key), count_waiting(directory, key, elsewhere=True)
        return Shipped(
            waiting=left.spans,
            stopped="locked" if left.spans else "done",
            elsewhere=other.spans,
            complete=left.complete and other.complete,
        )
    try:
        stopped = _drain(line, end, patient=patient)
        books = line.shipper.books
        left, other = _left(line), count_waiting(directory, key, elsewhere=True)
        return Shipped(
            books.delivered,
            books.refused,
            tuple(f"{count} x {reason}" for reason, count in books.reasons.items()),
            left.spans,
            stopped,
            _words(books.last),
            other.spans,
            left.complete and other.complete,
        )
    finally:
        line.release()


def _take_turn(line: DirectoryShipper, end: float, tell: Callable[[str], None]) -> bool:
    """Wait for the directory's lock; its holder ships the same spans, so none left ends the wait."""
    pause, told = _LOCK_PAUSE, False
    while not line.acquire():
        if not told:
            told = True
            tell("another process ships this journal; waiting for it")
        if time.monotonic() >= end or not count_waiting(line.directory, line.destination).spans:
            return False
        time.sleep(min(pause, max(end - time.monotonic(), 0.0)))
        pause = min(pause * 1.5, _LOCK_PAUSE_MOST)
    return True


def _drain(line: DirectoryShipper, end: float, *, patient: bool) -> Literal["done", "unanswered", "deadline"]:
    shipper = line.shipper
    limit = end
    if line.look(force=True) and not shipper.client.connect(end):
        limit = time.monotonic() + _LAST_WORD  # one attempt more, for the words of why
    while True:
        if line.drain(max(limit - time.monotonic(), 0.0), force=True):
            return "done"
        limit = end
        now, answer = time.monotonic(), shipper.books.last
        if now >= end:
            return "deadline"
        worth_waiting = patient and answer is not None and answer.kind == "retry"
        if not worth_waiting:
            return "unanswered"
        if shipper.not_before >= end:
            return "deadline"
        time.sleep(max(shipper.not_before - now, 0.0))


def _left(line: DirectoryShipper) -> Count:
    """Count what waits: what the line holds, or where it has not read everything, what the journal does."""
    held = line.look(force=True)
    if not line.pump.behind:
        return Count(held)
    count = count_waiting(line.directory, line.destination)
    return count if count.spans > held else Count(held, complete=False)


def _words(answer: Answer | None) -> str:
    """Return what the last answer said, for the line that explains why something waits."""
    if answer is None or answer.kind == "accepted":
        return ""
    return " ".join(filter(None, [str(answer.status or ""), answer.message])) or answer.kind
