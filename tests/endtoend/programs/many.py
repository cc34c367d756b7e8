"""Opens equally named phases at once: four in forked children, a thousand in threads."""

from __future__ import annotations

import os
import sys
import threading

import otel_workflow as ow
from tests.endtoend.programs.talk import say


def children(run: ow.Workflow) -> None:
    """Open one phase in each of four forked children, all at the same time."""
    opened, wait = os.pipe(), os.pipe()
    pids = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            with ow.phase("work") as work:
                say(span=work.span_id)
                os.write(opened[1], b".")
                os.read(wait[0], 1)
            os._exit(0)
        pids.append(pid)
    for _ in pids:
        os.read(opened[0], 1)
    os.write(wait[1], b"....")
    for pid in pids:
        os.waitpid(pid, 0)


def threads(run: ow.Workflow) -> None:
    """Open one phase in each of a thousand threads, a hundred at the same time."""
    ids: list[str] = []

    def work() -> None:
        with ow.phase("work", parent=run) as phase:
            ids.append(phase.span_id)
            together.wait()

    together = threading.Barrier(100)
    for _ in range(10):
        started = [threading.Thread(target=work) for _ in range(100)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    for span in ids:
        say(span=span)


def main() -> None:
    """Do what was asked for inside one run."""
    ow.configure()
    with ow.workflow("many") as run:
        say(run=run.span_id)
        {"children": children, "threads": threads}[sys.argv[1]](run)


if __name__ == "__main__":
    main()
