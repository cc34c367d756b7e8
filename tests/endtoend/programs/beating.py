"""A run that stays open until it is told to end; it says which threads it has and which runs it would tell of."""

from __future__ import annotations

import os
import sys
import threading

import otel_workflow as ow
from otel_workflow.instrumentation.recorder import active
from otel_workflow.runtime.heartbeat import open_runs
from tests.endtoend.programs.talk import say, wait


def main(how: str) -> None:
    """Record one run."""
    if how == "foreign":
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())
    ow.configure()
    with ow.workflow("beating"), ow.phase("work"):
        recorder = active()
        assert recorder is not None
        say(threads=[thread.name for thread in threading.enumerate()], open=len(open_runs(recorder)))
        while wait() == "fork":
            child = os.fork()
            if not child:
                say(open=len(open_runs(recorder)))
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(sys.argv[1])
