"""Forks groups of three processes at work, one group for each journal it is told, to be killed at any instant.

The interpreter and the library are loaded once: a group is there in some milliseconds. Each process of a group
writes what it has begun and ended into a file of its own beside the journal, after the call has returned.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def work(told: int, above: ow.Phase) -> None:
    """Begin and end phases, one in another, for ever; tell each that has begun and each that has ended."""
    while True:
        with ow.phase("outer") as outer:
            os.write(told, f"began {outer.span_id} {above.span_id}\n".encode())
            with ow.phase("inner") as inner:
                os.write(told, f"began {inner.span_id} {outer.span_id}\n".encode())
                inner.set_attribute("weight", 7)
            os.write(told, f"ended {inner.span_id}\n".encode())
        os.write(told, f"ended {outer.span_id}\n".encode())


def open_told(place: Path, who: str) -> int:
    """Open the file in which a process tells."""
    return os.open(place / who, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def lead(place: Path) -> None:
    """Open a run, a phase, a child inside it and a grandchild inside a phase of the child."""
    os.setsid()
    ow.configure(journal=place / "journal")
    told = open_told(place, "leader")
    with ow.workflow("group") as run:
        os.write(told, f"began {run.span_id} -\n".encode())
        with ow.phase("handed out") as handed:
            os.write(told, f"began {handed.span_id} {run.span_id}\n".encode())
            if not os.fork():
                told = open_told(place, "child")
                with ow.phase("of the child") as own:
                    os.write(told, f"began {own.span_id} {handed.span_id}\n".encode())
                    if not os.fork():
                        work(open_told(place, "grandchild"), own)
                    work(told, own)
            say(group=os.getpid(), trace=run.trace_id, run=run.span_id)
            work(told, handed)


def main() -> None:
    """Fork a group for every place that is named."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes the dead away
    while place := wait():
        if not os.fork():
            lead(Path(place))


if __name__ == "__main__":
    main()
