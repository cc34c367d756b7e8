"""Times as integers: a wall-clock anchor for position, the monotonic clock for duration.

Both clocks are read together once; every later time is the anchor plus what the monotonic
clock has counted since, so a duration inside one process is exact and never negative, however
the wall clock is stepped. When the two drift apart by more than 50 ms (suspend, a step by NTP),
the anchor is taken anew: positions follow the wall, durations stay monotonic.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ("DRIFT_NS", "Clock", "SystemClock")

DRIFT_NS = 50_000_000


class Clock(Protocol):
    """What a recorder asks the time of."""

    def now(self) -> tuple[int, int]:
        """Return (wall time in ns since the epoch, monotonic ns)."""
        ...


class SystemClock:
    """The machine's two clocks, anchored to each other.

    ``offset`` is wall minus monotonic time in ns. ``anchors`` counts how often it was taken,
    so that a writer can record a new anchor when the number changes.
    """

    __slots__ = ("anchors", "offset")

    def __init__(self) -> None:
        self.offset = time.time_ns() - time.monotonic_ns()
        self.anchors = 1

    def now(self) -> tuple[int, int]:
        """Return (wall ns, monotonic ns), taking a new anchor if the clocks have drifted apart."""
        mono = time.monotonic_ns()
        drift = time.time_ns() - mono - self.offset
        if drift > DRIFT_NS or drift < -DRIFT_NS:
            self.offset += drift
            self.anchors += 1
        return mono + self.offset, mono
