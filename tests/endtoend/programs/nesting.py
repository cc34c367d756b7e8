"""Opens phases inside an outer one, across every border that Python knows; one border a run."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

import otel_workflow as ow
from tests.endtoend.programs.talk import say

NAMES = ("first", "second")


def work(name: str, parent: Any = None) -> None:
    """One phase with another one in it."""
    with ow.phase(name, parent=parent), ow.phase(f"in {name}"):
        pass


@ow.phase("decorated")
def decorated() -> None:
    """A phase by decorator; a module's function, so that it pickles."""
    with ow.phase("in decorated"):
        pass


async def work_async(name: str) -> None:
    """The same with a switch between tasks in it."""
    async with ow.phase(name):
        await asyncio.sleep(0)
        async with ow.phase(f"in {name}"):
            await asyncio.sleep(0)


async def tasks() -> None:
    """Across bare tasks of asyncio."""
    await asyncio.gather(*(asyncio.create_task(work_async(name)) for name in NAMES))


async def task_group() -> None:
    """Across a TaskGroup."""
    async with asyncio.TaskGroup() as group:
        for name in NAMES:
            group.create_task(work_async(name))


async def to_thread() -> None:
    """Across asyncio's threads, which carry the context."""
    await asyncio.gather(*(asyncio.to_thread(work, name) for name in NAMES))


def trio_nursery() -> None:
    """Across a nursery of trio."""
    import trio

    async def child(name: str) -> None:
        async with ow.phase(name):
            await trio.sleep(0)
            async with ow.phase(f"in {name}"):
                await trio.sleep(0)

    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            for name in NAMES:
                nursery.start_soon(child, name)

    trio.run(parent)


def in_threads(targets: Iterable[Any]) -> None:
    """Start one thread for each, all at once, and wait for them."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bare_threads() -> None:
    """Across threads that know nothing of where they were started."""
    in_threads(functools.partial(work, name) for name in NAMES)


def threads_with_context() -> None:
    """Across threads that are given the context."""
    in_threads(functools.partial(contextvars.copy_context().run, work, name) for name in NAMES)


def threads_with_parent() -> None:
    """Across threads that are told their parent."""
    outer = ow.current_phase()
    in_threads(functools.partial(work, name, outer) for name in NAMES)


def pool(executor: Executor, *, told: bool = False) -> None:
    """Across the workers of an executor."""
    outer = ow.current_phase() if told else None
    with executor:
        for future in [executor.submit(work, name, outer) for name in NAMES]:
            future.result()


def processes(context: BaseContext) -> None:
    """Across processes of multiprocessing."""
    children: Any = [context.Process(target=work, args=(name,)) for name in NAMES]  # type: ignore[attr-defined]
    for child in children:
        child.start()
    for child in children:
        child.join()


def plain(env: dict[str, str] | None) -> None:
    """Across plain child processes."""
    for name in NAMES:
        subprocess.run([sys.executable, __file__, "work", name], env=env, check=True)


def pickled() -> None:
    """Across a plain child process that is handed a pickled phase and nothing else."""
    env = {name: value for name, value in os.environ.items() if name not in ("TRACEPARENT", "OW_WORKFLOW")}
    for name in NAMES:
        handed = pickle.dumps(ow.current_phase()).hex()
        subprocess.run([sys.executable, __file__, "work", name, handed], env=env, check=True)


def decorated_in_a_pool() -> None:
    """A decorated function, pickled into a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        executor.submit(decorated).result()


BORDERS: dict[str, Any] = {
    "tasks": lambda: asyncio.run(tasks()),
    "TaskGroup": lambda: asyncio.run(task_group()),
    "to_thread": lambda: asyncio.run(to_thread()),
    "trio nursery": trio_nursery,
    "bare threads": bare_threads,
    "threads with context": threads_with_context,
    "threads with parent": threads_with_parent,
    "thread pool": lambda: pool(ThreadPoolExecutor(2)),
    "thread pool with parent": lambda: pool(ThreadPoolExecutor(2), told=True),
    "process pool, fork": lambda: pool(ProcessPoolExecutor(2, multiprocessing.get_context("fork"))),
    "process pool, spawn": lambda: pool(ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))),
    "process pool with parent": lambda: pool(ProcessPoolExecutor(2, multiprocessing.get_context("spawn")), told=True),
    "multiprocessing fork": lambda: processes(multiprocessing.get_context("fork")),
    "multiprocessing spawn": lambda: processes(multiprocessing.get_context("spawn")),
    "multiprocessing forkserver": lambda: processes(multiprocessing.get_context("forkserver")),
    "child_env": lambda: plain(ow.current_phase().child_env()),
    "plain subprocess": lambda: plain(None),
    "pickled parent": pickled,
    "decorated in a pool": decorated_in_a_pool,
}


def main() -> None:
    """Cross a border inside an open phase; or be the child process that was started for it."""
    if sys.argv[1] == "work":
        ow.configure()
        work(sys.argv[2], pickle.loads(bytes.fromhex(sys.argv[3])) if len(sys.argv) > 3 else None)
        return
    ow.configure()
    with ow.workflow("nesting") as run:
        say(trace=run.trace_id)
        with ow.phase("outer"):
            BORDERS[sys.argv[1]]()
    assert "TRACEPARENT" not in os.environ


if __name__ == "__main__":
    main()
