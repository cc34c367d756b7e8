"""The bus's books: what was handed over, and what became of it.

The unit is a *delivery*: one event for one matching subscription. An event nobody subscribed to is
no delivery and appears nowhere. A dead letter is one more delivery, to the dead-letter handler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ("REASONS", "Books", "BusStatistics")

REASONS: tuple[str, ...] = ("overflow", "depth", "closed", "unsubscribed", "no_thread", "sink")
"""Why a delivery can be dropped: see ``BusStatistics.dropped``."""


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """The bus's books at one moment: ``published == delivered + queued + sum(dropped.values())``.

    The equation holds whenever no thread is in the middle of a hand-over.

    ============ ==========================================================================
    published    deliveries asked for: one per event and matching subscription
    delivered    ended, well or badly: the handler has had the event for the last time
    queued       waiting, being handled, or waiting for a retry
    dropped      never handled: ``overflow`` (the queue was full), ``depth`` (published from
                 inside more than eight handlers), ``closed``, ``unsubscribed``,
                 ``no_thread`` (none can be started any more), ``sink`` (the journal refused)
    failed       of those delivered: without success, after all retries
    retried      further attempts that were begun or planned
    ============ ==========================================================================
    """

    published: int
    delivered: int
    queued: int
    dropped: Mapping[str, int]
    failed: int
    retried: int


class Books:
    """The counters behind ``BusStatistics``, written by every thread without a lock.

    Publishing must be safe inside a signal handler, so no lock may be taken. ``books.x += n`` on
    a slot, where ``n`` calls nothing (a local or a slot, never a property or ``len()``), is safe: CPython
    with the GIL switches threads and runs signal handlers only at calls and backward jumps, so no
    update is lost. ``tests/bus/test_statistics.py`` holds the interpreter to it.
    """

    __slots__ = (
        "closed",
        "delivered",
        "depth",
        "failed",
        "no_thread",
        "overflow",
        "published",
        "retried",
        "sink",
        "unsubscribed",
    )

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at nought, as a forked child does."""
        self.published = self.delivered = self.failed = self.retried = 0
        self.overflow = self.depth = self.closed = self.unsubscribed = self.no_thread = self.sink = 0

    def drop(self, reason: str, count: int = 1) -> None:
        """Count dropped deliveries under one of ``REASONS``."""
        if reason == "overflow":
            self.overflow += count
        elif reason == "depth":
            self.depth += count
        elif reason == "closed":
            self.closed += count
        elif reason == "unsubscribed":
            self.unsubscribed += count
        elif reason == "sink":
            self.sink += count
        else:
            self.no_thread += count

    def read(self, queued: int) -> BusStatistics:
        """Return the books as they stand; ``queued`` is counted by the caller, in the queues themselves."""
        dropped = {reason: count for reason in REASONS if (count := getattr(self, reason))}
        return BusStatistics(self.published, self.delivered, queued, dropped, self.failed, self.retried)
