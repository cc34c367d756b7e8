"""A phase to which very much happens, between two that are as usual."""

from __future__ import annotations

import sys

import otel_workflow as ow
from otel_workflow.instrumentation import progress
from tests.endtoend.programs.talk import say


def main(how: str, count: int) -> None:
    """Let ``count`` things happen in one of three ways."""
    progress._EVERY_NS = 0  # as if it lasted long: ten reports a second are taken
    ow.configure()
    bus = ow.get_bus()
    with ow.workflow("events"):
        with ow.phase("before"):
            pass
        with ow.phase("busy") as phase:
            for number in range(count):
                if how == "span events":
                    phase.span.add_event("it happened", {"number": number})
                elif how == "published":
                    bus.publish_nowait("custom.happened", {"number": number})
                else:
                    phase.progress(number, count)
        with ow.phase("after"):
            pass
    say(done=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
