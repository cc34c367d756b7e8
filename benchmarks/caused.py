"""How much of a delay a process can itself have caused, beside what the machine did to it.

On a shared machine a thread sleeps on for milliseconds though nothing of ours runs, so a wall clock
proves nothing. But the kernel counts for each thread how long it ran, and how long it was ready and
had no core (*queued*). What one thread of a process does to another one, it does while it runs: it has the
interpreter, and the other waits for it, which is not queued. So of a delay is ours at most what
is left without its queued time, and at most the CPU time within it: of the delayed thread itself,
and of all others of the process. The smaller of both is called *caused*. Another thread's CPU time is counted
whole, though it may have given the interpreter up (compressing does), so that is an upper bound
where each of our threads has a core. Two things are in *the rest* instead: a wait for the disk, and one
for a thread that has the interpreter, but no core.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Self

__all__ = ("Delay", "Meter", "Reading", "split")

_SCHEDSTAT = "/proc/thread-self/schedstat"


class Reading(NamedTuple):
    """Clocks at one moment, in ns: the wall's, this thread's, all other threads', the run queue's."""

    wall: int
    own: int
    others: int
    queued: int


class Delay(NamedTuple):
    """Something that took ``wall`` ns too long, and what was done meanwhile."""

    wall: int
    own: int
    others: int
    queued: int

    @classmethod
    def between(cls, before: Reading, after: Reading, *, expected: int = 0) -> Self:
        """What lies between two readings; the first ``expected`` ns of it are no delay.

        All queued time may lie in those, and all CPU time after them: of ours nothing is left out.
        """
        wall, own, others, queued = (b - a for a, b in zip(before, after, strict=True))
        return cls(max(wall - expected, 0), own, others, max(queued - expected, 0))

    @property
    def caused(self) -> int:
        """At most as much of it is ours."""
        return min(max(self.wall - self.queued, 0), self.own + self.others)


class Meter:
    """Reads the clocks of the thread that made it, some 5 us each time; Linux only."""

    def __init__(self) -> None:
        self._me = threading.get_ident()
        self._clocks: dict[int, tuple[int, int]] = {}
        self._ended = 0
        self._schedstat = os.open(_SCHEDSTAT, os.O_RDONLY)

    def read(self) -> Reading:
        """Return the clocks now."""
        queued = int(os.pread(self._schedstat, 64, 0).split()[1])
        return Reading(time.perf_counter_ns(), time.thread_time_ns(), self._others(), queued)

    def _others(self) -> int:
        alive = sys._current_frames().keys() - {self._me}  # also threads that threading does not know
        for ident in self._clocks.keys() - alive:
            self._ended += self._clocks.pop(ident)[1]
        total = self._ended
        for ident in alive:
            clock, last = self._clocks.get(ident) or (time.pthread_getcpuclockid(ident), 0)
            with suppress(OSError):  # it has ended, and another thread has its name
                last = time.clock_gettime_ns(clock)
            self._clocks[ident] = clock, last
            total += last
        return total


def split(delays: Iterable[Delay]) -> tuple[float, float, float, float]:
    """Return which shares of these delays are own work, others' work, waiting for a core, and the rest."""
    total, parts = 0, [0, 0, 0]
    for delay in delays:
        left = delay.wall
        total += left
        for place, part in enumerate((delay.own, delay.others, delay.queued)):
            taken = min(part, left)
            parts[place] += taken
            left -= taken
    shares = [part / total if total else 0.0 for part in parts]
    return shares[0], shares[1], shares[2], 1 - sum(shares) if total else 0.0
