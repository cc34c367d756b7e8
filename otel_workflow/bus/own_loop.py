"""The bus's own asyncio loop, for async handlers that were subscribed without one, or have outlived theirs."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from otel_workflow.bus.asyncio_home import AsyncioHome
from otel_workflow.bus.threads import LINGER, launch, refuse, this_thread

__all__ = ("OwnLoop",)


class OwnLoop(AsyncioHome):
    """An asyncio loop in a thread of its own, which is there only while there is something to do."""

    def __init__(self, after: Callable[[float, Callable[[], None]], bool]) -> None:
        super().__init__(None, moved=lambda _: self.rouse(), after=after)
        self.thread: threading.Thread | None = None
        self.coming = False
        self.errands: deque[Callable[[], object]] = deque()
        self._leave: asyncio.Event | None = None

    @property
    def alive(self) -> bool:
        """Always: where there is no loop, one is started when it is needed."""
        return True

    def rouse(self) -> None:
        """Start a carrier, and the loop and its thread with it if need be."""
        loop = self.loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just ended; the thread looks once more at what is ready
                loop.call_soon_threadsafe(self.begin)
            return
        if not self.coming:
            self.coming = True
            launch(self.run, "otel-workflow-bus-loop", self._refuse)

    def post(self, fn: Callable[[], object]) -> None:
        """Run a function soon in the loop; RuntimeError if it is not there."""
        if self.loop is None:
            message = "the loop of the bus has ended"
            raise RuntimeError(message)
        self.loop.call_soon_threadsafe(fn)

    def submit(self, fn: Callable[[], object]) -> None:
        """Run a function in the loop, which is started if need be."""
        self.errands.append(fn)
        self.rouse()

    def begin(self) -> None:
        """Run what was submitted, and start a carrier if anything is left to do; runs in the loop."""
        while self.errands:
            self.errands.popleft()()
        super().begin()

    def _refuse(self) -> None:
        self.coming = False
        while self.ready:
            refuse(self.ready.popleft())
        self.awake = False

    def dismiss(self, *, busy: bool = False) -> threading.Thread | None:
        """Ask the thread to end if nothing is running in it, or even if so (``busy``)."""
        loop, leave = self.loop, self._leave
        if loop is not None and leave is not None and (busy or not self.lanes):
            try:
                loop.call_soon_threadsafe(leave.set)
            except RuntimeError:
                return self.thread
        return self.thread

    def run(self) -> None:
        """Run the loop until it has been idle for a while; the body of the thread."""
        self.thread = this_thread()
        asyncio.run(self._main())
        self.loop = None
        self.thread = None
        self.coming = self.shaken = False
        self.carrier = None
        # A wake-up that came while the loop was ending is answered by a new one.
        self.awake = bool(self.ready)
        if self.ready or self.errands:
            self.rouse()

    async def _main(self) -> None:
        self._leave = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        while True:
            self.begin()
            try:
                await asyncio.wait_for(self._leave.wait(), LINGER)
            except TimeoutError:
                pass
            else:
                return
            if not self.ready and len(asyncio.all_tasks()) == 1:
                return
