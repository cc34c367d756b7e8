"""A run of five phases; alone, with child processes, or waiting for the test before it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def main(how: str) -> None:
    """Record, and say when the work was over: by the clock that all processes share."""
    if how != "unconfigured":
        ow.configure()
    with ow.workflow("plain"):
        for number in range(4):
            with ow.phase(f"phase {number}"):
                pass
        if how == "children":
            children = [subprocess.Popen([sys.executable, __file__, "child"]) for _ in range(3)]
            for child in children:
                child.wait()
        if how == "forks":
            fork_often()
        if how == "waits":
            say(ready=True)
            wait()
    say(how=how, over=time.monotonic())


def fork_often() -> None:
    """Fork twenty children that record nothing and leave as a program does; say what a fork alone takes."""
    taken = 0.0
    for _ in range(20):
        before = time.monotonic()
        child = os.fork()
        if not child:
            sys.exit(0)
        taken += time.monotonic() - before
        assert os.waitpid(child, 0)[1] == 0
    say(how="each fork", seconds=taken / 20)


if __name__ == "__main__":
    main(sys.argv[1])
