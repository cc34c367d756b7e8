"""A run that uses all there is: marks, exceptions, events, links, library spans, a killed child."""

from __future__ import annotations

import os
import signal

from opentelemetry import trace

import otel_workflow as ow
from tests.endtoend.programs.talk import say


def main() -> None:
    """Record one run."""
    runtime = ow.configure(service_name="everything")
    library = trace.get_tracer("library", "1.2")
    with ow.workflow("everything", attributes={"branch": "main"}) as run:
        say(trace=run.trace_id)
        with ow.phase("build", type="build") as build:
            build.set_attribute("files", 12)
            build.progress(1, 2, "half")
            build.span.add_event("compiled", {"unit": "a.c"})
            with library.start_as_current_span("GET /cache"), ow.phase("inside a library's span"):
                pass
        with ow.phase("test", links=[trace.Link(build.span.get_span_context())]) as test:
            test.fail("2 of 40 failed", error_type="assertion")
        try:
            with ow.phase("deploy"):
                raise ConnectionError("no route")
        except ConnectionError:
            pass
        with ow.phase("notify") as notify:
            notify.skip("nobody listens")
        with ow.phase("fan out"):
            killed_child()
    runtime.flush(timeout=10.0)  # a busy machine may answer later than the end of a program waits


def killed_child() -> None:
    """Have a forked child finish one phase and be killed in the next."""
    child = os.fork()
    if not child:
        with ow.phase("by the child"):
            pass
        with ow.phase("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
