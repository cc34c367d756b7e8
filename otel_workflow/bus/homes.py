"""Which loop we are in, and how a coroutine in it waits for something that happens anywhere.

asyncio and trio are looked up among the modules already loaded, never imported: where nobody has
imported them, none of their loops can be running.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from otel_workflow.bus import guard

if TYPE_CHECKING:
    import asyncio

    import trio

    from otel_workflow.bus.asyncio_home import AsyncioHome
    from otel_workflow.bus.own_loop import OwnLoop
    from otel_workflow.bus.own_trio import OwnTrio
    from otel_workflow.bus.trio_home import TrioHome

__all__ = ("Homes", "Signal", "make_signal", "pause", "running_asyncio_loop", "running_trio_token")


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop this thread is running, without importing asyncio."""
    module: Any = sys.modules.get("asyncio")
    # While asyncio is being imported, its names are not all there yet.
    current = getattr(module, "_get_running_loop", None)
    return current() if current is not None else None


def running_trio_token() -> trio.lowlevel.TrioToken | None:
    """Return the token of the trio run this code is a task of, without importing trio."""
    module: Any = sys.modules.get("trio")
    lowlevel = getattr(module, "lowlevel", None)
    if lowlevel is None or not lowlevel.in_trio_task():
        return None
    token: trio.lowlevel.TrioToken = lowlevel.current_trio_token()
    return token


class Signal(Protocol):
    """Something that one coroutine waits for and anybody sets."""

    def set(self) -> None:
        """Let the waiting coroutine go on; from any thread, more than once if it likes."""
        ...

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is set, or for some seconds."""
        ...


class _Turn:
    """Awaited, lets an asyncio loop go round once."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


class AsyncioSignal:
    """A signal for a coroutine in an asyncio loop.

    A handler that does not wait has ended by the time the loop has gone round; only for one that
    does are a future and a timer made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._set = False
        self._future: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake whoever waits."""
        from otel_workflow.bus.asyncio_home import awake_in

        self._set = True  # before the look at the future, as ``wait`` does it the other way round
        if self._future is None:
            return
        if awake_in(self._loop):
            self._resolve()
            return
        try:
            self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return  # the loop has ended, and the waiting coroutine with it

    def _resolve(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is set, or for so many seconds."""
        for _ in range(2):
            if self._set:
                return
            await _Turn()
        future = self._future = self._loop.create_future()
        if self._set:
            return
        timer = self._loop.call_later(timeout, self._resolve) if timeout is not None else None
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()


class TrioSignal:
    """A signal for a task in a trio run."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        import trio

        self._token = token
        self._trio = trio
        self._event = trio.Event()

    def set(self) -> None:
        """Wake whoever waits."""
        try:
            self._token.run_sync_soon(self._event.set)
        except self._trio.RunFinishedError:
            return

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is set, or for so many seconds."""
        with self._trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = self._trio.current_time() + max(0.0, timeout)
            await self._event.wait()


class PolledSignal:
    """A signal for a coroutine that some unknown loop, or nobody, drives: it blocks."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Wake whoever waits."""
        self._set = True

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is set, or for so many seconds."""
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while not self._set and time.monotonic() < end:
            time.sleep(0.001)


def make_signal() -> Signal:
    """Make a signal for the coroutine that is running."""
    if (token := running_trio_token()) is not None:
        return TrioSignal(token)
    if (loop := running_asyncio_loop()) is not None:
        return AsyncioSignal(loop)
    return PolledSignal()


async def pause(seconds: float) -> None:
    """Sleep, in whatever loop we are."""
    await make_signal().wait(seconds)


class Homes:
    """The loops of one bus: those that handlers were subscribed from, and the bus's own.

    ``after`` calls a function after some seconds; ``left`` is told of a home whose loop has ended.
    """

    def __init__(self, after: Callable[[float, Callable[[], None]], bool], left: Callable[[Any], None]) -> None:
        self._after = after
        self._left = left
        self._found: list[AsyncioHome | TrioHome] = []
        self._own: OwnLoop | None = None
        self._own_trio: OwnTrio | None = None

    def here(self) -> AsyncioHome | TrioHome:
        """Return the home of the running loop, or the bus's own loop where none is running."""
        if (token := running_trio_token()) is not None:
            if self._own_trio is not None and self._own_trio.token is token:
                return self._own_trio
            return self._of_trio(token)
        if (loop := running_asyncio_loop()) is not None:
            return self._of_asyncio(loop)
        return self.own

    @property
    def own(self) -> OwnLoop:
        """The bus's own loop; its thread begins with the first event."""
        if self._own is None:
            from otel_workflow.bus.own_loop import OwnLoop

            self._own = OwnLoop(self._after)
        return self._own

    def heir(self, home: object) -> OwnLoop | OwnTrio:
        """Return the home of the bus's own for handlers whose loop has ended: of the same kind."""
        trio_home = sys.modules.get("otel_workflow.bus.trio_home")
        if trio_home is None or not isinstance(home, trio_home.TrioHome):
            return self.own
        if self._own_trio is None:
            from otel_workflow.bus.own_trio import OwnTrio

            self._own_trio = OwnTrio(self._after)
        return self._own_trio

    def dismiss(self, *, busy: bool = False) -> list[threading.Thread]:
        """Ask the bus's own loops to end, if they are idle or even if not; return their threads."""
        threads = [own.dismiss(busy=busy) for own in (self._own, self._own_trio) if own is not None]
        return [thread for thread in threads if thread is not None]

    def _of_asyncio(self, loop: asyncio.AbstractEventLoop) -> AsyncioHome:
        from otel_workflow.bus.asyncio_home import AsyncioHome

        if self._own is not None and self._own.loop is loop:
            return self._own
        self._found = [home for home in self._found if home.alive]
        for home in self._found:
            if isinstance(home, AsyncioHome) and home.loop is loop:
                return home
        made = AsyncioHome(loop, self._left, self._after)
        self._found.append(made)
        return made

    def _of_trio(self, token: trio.lowlevel.TrioToken) -> TrioHome:
        from otel_workflow.bus.trio_home import TrioHome

        self._found = [home for home in self._found if home.alive]
        for home in self._found:
            if isinstance(home, TrioHome) and home.token is token:
                return home
        made = TrioHome(token, self._left, self._after)
        self._found.append(made)
        return made

    def borrow(
        self, *, own: bool = False
    ) -> Callable[[Awaitable[object], float | None], tuple[object, BaseException | None]]:
        """Return a function that awaits, from a worker thread, what a sync handler has returned.

        It does so in the loop that is running now, or (``own``, or where none is) in the bus's own.
        """
        home = None if own or (running_trio_token() is None and running_asyncio_loop() is None) else self.here()

        def awaits(value: Awaitable[object], timeout: float | None) -> tuple[object, BaseException | None]:
            from otel_workflow.bus.borrowed import await_in

            where = self.own if home is None else home if home.alive else self.heir(home)
            answer, error = guard.call(await_in, where, value, timeout)
            return answer if answer is not None else (None, error)

        return awaits
