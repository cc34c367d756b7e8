"""Times as integers: a wall-clock anchor for position, the monotonic clock for duration.

Both clocks are read together once; every later time is the anchor plus what the monotonic
clock has counted since, so a duration inside one process is exact and never negative, however
the wall clock is stepped. When the two drift apart by more than 50 ms (suspend, a step by NTP),
the anchor is taken anew: positions follow the wall, durations stay monotonic.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ("DRIFT_NS", "Clock", "SystemClock")

DRIFT_NS = 50_000_000
_TOGETHER_NS = 1_000_000
_TRIES = 3


class Clock(Protocol):
    """What a recorder asks the time of."""

    def now(self) -> tuple[int, int]:
        """Return (wall time in ns since the epoch, monotonic ns)."""
        ...


class SystemClock:
    """The machine's two clocks, anchored to each other.

    ``offset`` is wall minus monotonic time in ns. ``anchors`` counts how often it was taken, and
    ``moved`` is called with each new one and how far it lies from the one before (ns).
    """

    __slots__ = ("anchors", "moved", "offset")

    def __init__(self) -> None:
        self.offset = _offset()
        self.anchors = 1
        self.moved: Callable[[int, int], object] | None = None

    def now(self) -> tuple[int, int]:
        """Return (wall ns, monotonic ns), taking a new anchor if the clocks have drifted apart."""
        mono = time.monotonic_ns()
        if not -DRIFT_NS <= time.time_ns() - mono - self.offset <= DRIFT_NS:
            self._look_again()
        return mono + self.offset, mono

    def _look_again(self) -> None:
        """Take a new anchor, unless only this thread was stopped between the two clocks.

        Sets what was measured instead of adding to what was there: two threads may be here.
        """
        offset = _offset()
        by = offset - self.offset
        if abs(by) > DRIFT_NS:
            self.offset = offset
            self.anchors += 1
            if self.moved is not None:
                self.moved(offset, by)


def _offset() -> int:
    """Return wall minus monotonic time, as good as it can be had: a thread may be stopped in between."""
    best, offset = -1, 0
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        wall = time.time_ns()
        apart = time.monotonic_ns() - before
        if best < 0 or apart < best:
            best, offset = apart, wall - before
        if apart < _TOGETHER_NS:
            break
    return offset
