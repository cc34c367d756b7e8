"""Awaiting, from a worker thread, what a sync handler has returned, in the loop it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from otel_workflow.bus import guard
from otel_workflow.bus.asyncio_home import AsyncioHome

if TYPE_CHECKING:
    from otel_workflow.bus.trio_home import TrioHome

__all__ = ("await_in",)

Outcome = tuple[object, BaseException | None]


def await_in(home: AsyncioHome | TrioHome, value: Awaitable[object], timeout: float | None) -> Outcome:
    """Run an awaitable in a home's loop, and wait for its end; cancel it after ``timeout`` seconds."""
    answers: SimpleQueue[Outcome] = SimpleQueue()
    if isinstance(home, AsyncioHome):
        tasks: list[asyncio.Task[None]] = []

        async def run() -> None:
            answers.put(await guard.finish(lambda: value))

        def start() -> None:
            tasks.append(asyncio.get_running_loop().create_task(run()))

        home.submit(start)
        try:
            return answers.get(timeout=timeout)
        except Empty:
            home.submit(lambda: tasks[0].cancel() if tasks else None)
    else:
        import trio

        async def attend() -> None:
            with trio.move_on_after(timeout if timeout is not None else float("inf")):
                answers.put(await guard.finish(lambda: value))

        home.submit(lambda: trio.lowlevel.spawn_system_task(attend))
        try:
            return answers.get(timeout=timeout)
        except Empty:
            pass
    return None, TimeoutError(f"what the handler returned took longer than {timeout:g} s")
