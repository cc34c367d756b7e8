"""The bus's own trio run, for trio handlers that have outlived theirs; the twin of ``own_loop``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from otel_workflow.bus.threads import LINGER, launch, refuse, this_thread
from otel_workflow.bus.trio_home import TrioHome

__all__ = ("OwnTrio",)


class OwnTrio(TrioHome):
    """A trio run in a thread of its own, which is there only while there is something to do."""

    def __init__(self, after: Callable[[float, Callable[[], None]], bool]) -> None:
        super().__init__(None, moved=lambda _: None, after=after)
        self.thread: threading.Thread | None = None
        self.coming = False
        self.errands: deque[Callable[[], object]] = deque()
        self._leave: trio.Event | None = None

    @property
    def alive(self) -> bool:
        """Always: where there is no run, one is started when it is needed."""
        return True

    def rouse(self) -> None:
        """Start the lanes that are wanted, and the run and its thread if need be."""
        token = self.token
        if token is not None:
            with suppress(trio.RunFinishedError):  # it has just ended; the thread looks once more at what is ready
                token.run_sync_soon(self.begin, idempotent=True)
        elif not self.coming:
            self.coming = True
            launch(self.run, "otel-workflow-bus-trio", self._refuse)

    def submit(self, fn: Callable[[], object]) -> None:
        """Run a function in the run, which is started if need be."""
        self.errands.append(fn)
        self.rouse()

    def begin(self) -> None:
        """Run what was submitted, and start the lanes that are wanted; runs in the run."""
        while self.errands:
            self.errands.popleft()()
        super().begin()

    def end(self) -> None:
        """Leave what waits to the next run."""

    def _refuse(self) -> None:
        self.coming = False
        while self.ready:
            refuse(self.ready.popleft())

    def dismiss(self, *, busy: bool = False) -> threading.Thread | None:
        """Ask the thread to end if nothing is running in it, or even if so (``busy``)."""
        token, leave = self.token, self._leave
        if token is not None and leave is not None and (busy or not self.lanes):
            try:
                token.run_sync_soon(leave.set)
            except trio.RunFinishedError:
                return self.thread
        return self.thread

    def run(self) -> None:
        """Run until it has been idle for a while; the body of the thread."""
        self.thread = this_thread()
        trio.run(self._main)
        self.token = self.thread = None
        self.coming = False
        # A wake-up that came while the run was ending is answered by a new one.
        if self.ready or self.errands:
            self.rouse()

    async def _main(self) -> None:
        leave = self._leave = trio.Event()
        self.token = trio.lowlevel.current_trio_token()
        while True:
            self.begin()
            with trio.move_on_after(LINGER):
                await leave.wait()
                return
            if not (self.ready or self.errands or self.lanes):
                return
