"""What happened to a phase between its start and its end, in bounded memory.

A phase that reports its progress ten times a second for a day says 864,000 things. Its span shows
the first and the last of them and counts the rest, so only those are kept whole; of what lies in
the middle a number of 64 bits is remembered, by which the same event is known when it comes again.
Whatever the order in which they come, the same are kept: an event that once lay in the middle can
only get more neighbours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from otel_workflow.events import Event

__all__ = ("KEPT", "Between", "order_of")

KEPT = 128
"""How many events are kept whole: the first half and the last half, by time."""


class Between:
    """A set of events in the order of their times, the middle of it counted only.

    Two events are the same if id, time and type are. ``hidden`` says how many are not kept,
    ``retries`` how many of all were retries; ``queued_ns`` is the earliest queueing and
    ``latest_ns`` the time of the latest event, in ns since the epoch; ``report`` is the last
    report of progress.
    """

    __slots__ = ("_events", "_hidden", "_orders", "queued_ns", "report", "retries")

    def __init__(self) -> None:
        self._orders: list[tuple[bool, int, str, str]] = []
        self._events: list[Event] = []
        self._hidden: set[int] | None = None  # for nearly every phase
        self.retries = 0
        self.queued_ns: int | None = None
        self.report: Event | None = None

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events) + self.hidden

    @property
    def hidden(self) -> int:
        """How many events are counted only."""
        return len(self._hidden) if self._hidden is not None else 0

    @property
    def latest_ns(self) -> int:
        """When the latest of them happened; 0 where there is none."""
        return max((event.time_ns for event in self._events), default=0)

    def add(self, event: Event) -> None:
        """Take an event; one that is known already changes nothing."""
        order = order_of(event)
        if not self._orders or order > self._orders[-1]:
            self._orders.append(order)
            self._events.append(event)
        elif not self._insert(order, event):
            return
        self._note(order, event)
        if len(self._events) > KEPT:
            self._hide(KEPT // 2)

    def _hide(self, at: int) -> None:
        if self._hidden is None:
            self._hidden = set()
        self._hidden.add(hash(self._orders.pop(at)))
        del self._events[at]

    def _insert(self, order: tuple[bool, int, str, str], event: Event) -> bool:
        """Put it in its place; False if it is there, or lies in the middle and is known."""
        at = bisect_left(self._orders, order)
        if self._orders[at] == order:
            if repr(event) < repr(self._events[at]):  # two that differ in content only: one of them, always the same
                self._events[at] = event
                self._note_report(order, event)
            return False
        if self._hidden is not None and hash(order) in self._hidden:
            return False
        self._orders.insert(at, order)
        self._events.insert(at, event)
        return True

    def _note(self, order: tuple[bool, int, str, str], event: Event) -> None:
        transition = event.transition
        if transition == "progress":
            self._note_report(order, event)
        elif transition == "retrying":
            self.retries += 1
        elif transition == "queued":
            self.queued_ns = event.time_ns if self.queued_ns is None else min(self.queued_ns, event.time_ns)

    def _note_report(self, order: tuple[bool, int, str, str], event: Event) -> None:
        if event.transition == "progress" and (self.report is None or order >= order_of(self.report)):
            self.report = event


def order_of(event: Event) -> tuple[bool, int, str, str]:
    """Return by what events are sorted: by time; but what was only inferred comes after whatever was observed."""
    return event.transition == "interrupted", event.time_ns, event.id, event.type
