"""Records phases as it is told: so many at once, or one every few milliseconds until told to stop."""

from __future__ import annotations

import sys
import threading

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def record(first: int, count: int) -> int:
    """Record numbered phases; returns the next number."""
    for number in range(first, first + count):
        with ow.phase(f"phase {number}", attributes={"number": number}):
            pass
    return first + count


def obey(runtime: ow.Runtime) -> None:
    """Record so many phases for each number that is said; flush for the word ``flush``."""
    made = 0
    say(made=made)
    while order := wait():
        if order == "flush":
            say(flushed=runtime.flush(timeout=0.5))
        elif order == "deliver":
            say(flushed=runtime.flush(timeout=15))
        else:
            made = record(made, int(order))
            say(made=made)


def keep_on() -> None:
    """Record one phase after the other until a line comes."""
    told = threading.Event()
    listener = threading.Thread(target=lambda: (wait(), told.set()))
    listener.start()
    made = 0
    while not told.wait(0.005):
        made = record(made, 1)
    listener.join()
    say(made=made)


def main(how: str) -> None:
    """Record one run."""
    runtime = ow.configure()
    with ow.workflow("steady"):
        if how == "orders":
            obey(runtime)
        elif how == "keeps on":
            keep_on()
        elif how == "huge":
            with ow.phase("huge", attributes={f"text {number}": "x" * 10_000 for number in range(10)}):
                pass
        else:
            say(made=record(0, int(how)))


if __name__ == "__main__":
    main(sys.argv[1])
