"""What the files of the bus need to know of each other, and no more: the shapes of its parts.

A file that is used by a mailbox, a lane or the bus itself names its shape here instead of
importing it, so that imports point one way only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from otel_workflow.bus.statistics import Books

__all__ = ("AlarmClock", "Box", "Bus", "ServingLane", "Unsubscribes")


class Box(Protocol):
    """The queue of one subscription."""

    bytes: int
    books: Books
    queue: deque[Any]
    terms: Any


class ServingLane(Protocol):
    """Where one delivery after the other is made, and how the last one ended."""

    entry: Any
    value: object
    error: BaseException | None
    started: float
    parked: bool


class AlarmClock(Protocol):
    """Calls something later."""

    def after(self, delay: float, call: Callable[[], None], /) -> object:
        """Call something after so many seconds."""
        ...


class Unsubscribes(Protocol):
    """A bus, as a subscription's id knows it."""

    def unsubscribe(self, subscription_id: str) -> bool:
        """End a subscription."""
        ...


class Bus(Protocol):
    """A bus, as the hooks of the process know it."""

    def _before_fork(self) -> None: ...
    def _after_fork_in_parent(self) -> None: ...
    def _after_fork_in_child(self) -> None: ...
    def _at_exit(self) -> None: ...
