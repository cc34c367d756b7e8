"""Opens a workflow with one finished and two open phases, says so, and dies as it is told to."""

from __future__ import annotations

import multiprocessing
import os
import sys

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def work(where: str) -> None:
    """Have one phase finished, one open and one open inside it, and wait there."""
    with ow.phase(f"{where} finished"):
        pass
    with ow.phase(f"{where} open"), ow.phase(f"{where} nested"):
        say(pid=os.getpid(), where=where)
        die(wait())


def die(how: str) -> None:
    """End as told; "return" and "killed" (by the test, meanwhile) end the block as usual."""
    if how == "exception":
        raise ValueError("boom")
    if how == "sys.exit(3)":
        sys.exit(3)
    if how == "os._exit":
        os._exit(4)


def forked() -> None:
    """Let a forked child do the work inside an open phase."""
    with ow.phase("parent open"):
        child = os.fork()
        if not child:
            work("child")
            os._exit(0)
        os.waitpid(child, 0)


def spawned() -> None:
    """Let a child of multiprocessing's spawn do the work inside an open phase."""
    with ow.phase("parent open"):
        child = multiprocessing.get_context("spawn").Process(target=work, args=("child",))
        child.start()
        child.join()


def main() -> None:
    """Open the workflow and do the work in the process that was asked for."""
    ow.configure()
    with ow.workflow("deaths") as run:
        say(trace=run.trace_id)
        {"here": lambda: work("here"), "forked": forked, "spawned": spawned}[sys.argv[1]]()


if __name__ == "__main__":
    main()
