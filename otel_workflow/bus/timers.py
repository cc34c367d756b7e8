"""One thread that calls functions later: retries, and the time limits of sync handlers."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count
from queue import Empty, SimpleQueue

from otel_workflow.bus.threads import LINGER, launch, this_thread

__all__ = ("Timers",)


class Timers:
    """Functions waiting for their time; the thread is there only while there are any."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[tuple[float, int, Callable[[], None]] | None] = SimpleQueue()
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.thread: threading.Thread | None = None
        self.awake = False
        self.refused = False
        self._numbers = count()

    def after(self, seconds: float, fn: Callable[[], None]) -> bool:
        """Call a function after some seconds, in the timer thread; False if no thread can be had."""
        if self.refused:
            return False
        self.inbox.put((time.monotonic() + seconds, next(self._numbers), fn))
        self.resume()
        return not self.refused

    def resume(self) -> None:
        """Start the thread if something waits and there is none."""
        if not self.awake and (self.heap or not self.inbox.empty()):
            self.awake = True
            launch(self.run, "otel-workflow-bus-timer", self._refuse)

    def _refuse(self) -> None:
        self.refused = True
        self.awake = False

    def dismiss(self) -> threading.Thread | None:
        """Ask the thread to end; what waits keeps waiting for ``resume``."""
        if self.awake:
            self.inbox.put(None)
        return self.thread

    def run(self) -> None:
        """Ring what is due, until nothing is left."""
        self.thread = this_thread()
        while self._turn():
            pass
        self.thread = None
        self.awake = False
        # A function that came while we were leaving found ``awake`` still true.
        if not self.inbox.empty():
            self.resume()

    def _turn(self) -> bool:
        """Wait for the next function to come, or to come due; tell whether to go on."""
        wait = max(0.0, self.heap[0][0] - time.monotonic()) if self.heap else LINGER
        try:
            item = self.inbox.get(timeout=wait)
        except Empty:
            if not self.heap:
                return False
        else:
            if item is None:
                return False
            heapq.heappush(self.heap, item)
        while self.heap and self.heap[0][0] <= time.monotonic():
            heapq.heappop(self.heap)[2]()
        return True
