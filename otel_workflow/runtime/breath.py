"""How the delivery thread shares the interpreter with the program it runs beside.

One thread at a time runs Python code. Whoever has it keeps it for 5 ms (the switch interval) before
another one's wish is heard, and each write to the journal gives it away. So the delivery works in
slices, and pauses between them long enough for the program to have most of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ("Breath",)

SLICE = 0.0003
"""Longest work at a stretch, in seconds."""
PAUSE = 0.001
_SHORTEST = 1e-6  # a thread that only yields has the interpreter back before another one wakes


class Breath:
    """Called often by whoever works; sleeps when a slice is over.

    ``in_haste`` is set while the program itself waits for the work to be done: then it sleeps for
    as short as can be.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.in_haste = False
        self._clock = clock
        self._sleep = sleep
        self._since = clock()

    def __call__(self) -> None:
        """Let others run if it is time."""
        if self._clock() - self._since >= SLICE:
            self._sleep(_SHORTEST if self.in_haste else PAUSE)
            self._since = self._clock()
