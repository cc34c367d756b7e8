"""Odd ways to live: fork out of a block, configure anew, make spans by other means, be killed late."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from opentelemetry import trace

import otel_workflow as ow
from tests.endtoend.programs.talk import say, wait


def fork_out_of_a_block() -> None:
    """A forked child walks out of the block its parent has open, and leaves as a program does."""
    ow.configure()
    child = -1
    with ow.workflow("lives"), ow.phase("open") as phase:
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            say(child_left=time.time_ns())
        else:
            phase.fail("what a child marks does not count")
    if not child:
        sys.exit(0)


def fork_and_go_on() -> None:
    """A forked child leaves the block and opens a phase, then a run of its own."""
    ow.configure()
    child = -1
    with ow.workflow("lives"), ow.phase("open"):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
    if not child:
        with ow.phase("after the block"):
            pass
        sys.exit(0)


def configure_twice() -> None:
    """Before, between and inside: configure() may be called wherever."""
    ow.configure()
    ow.configure()
    with ow.workflow("first"), ow.phase("in first"):
        ow.configure(service_name="other")
        with ow.phase("after configure"):
            pass
    with ow.workflow("second"):
        pass


def shutdown_and_again() -> None:
    """After shutdown() nothing is recorded, and after configure() everything again."""
    first = ow.configure()
    with ow.workflow("first"):
        pass
    say(done=first.shutdown())
    with ow.workflow("unseen"):
        pass
    ow.configure()
    with ow.workflow("second"), trace.get_tracer("library").start_as_current_span("library"):
        pass


def foreign_provider() -> None:
    """A foreign SDK provider is there first and sends what it finished at once."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    runtime = ow.configure()
    with ow.workflow("lives"):
        with ow.phase("finished") as finished:
            finished.set_attribute("files", 12)
        with ow.phase("open") as phase, trace.get_tracer("library").start_as_current_span("library"):
            say(lane=runtime.lane, ids=[finished.span_id, phase.span_id])
            wait()


def library_spans() -> None:
    """Libraries make spans inside a phase: one is finished, one is open, when the kill comes."""
    ow.configure()
    tracer = trace.get_tracer("library", "1.2")
    with ow.workflow("lives") as run, ow.phase("open"):
        with tracer.start_as_current_span("finished by a library", attributes={"rows": 3}):
            with ow.phase("phase in it"):
                pass
        with tracer.start_as_current_span("open in a library"), ow.phase("open in it"):
            say(trace=run.trace_id)
            wait()


def api_only() -> None:
    """A library that knows the API alone names a task, and thereby makes a phase."""
    ow.configure()
    tracer = trace.get_tracer("library")
    task: dict[str, Any] = {"cicd.pipeline.task.name": "api task", "own": 1}
    with ow.workflow("lives"), ow.phase("outer"):
        with tracer.start_as_current_span("any name", attributes=task) as span:
            span.add_event("seen")
            with ow.phase("inner"):
                pass
        try:
            with tracer.start_as_current_span("any name", attributes={"cicd.pipeline.task.name": "api failure"}):
                raise ValueError("boom")
        except ValueError:
            pass
        open_one = tracer.start_span("any name", attributes={"cicd.pipeline.task.name": "api open"})
        say(ready=open_one.get_span_context().is_valid)
        wait()
        open_one.end()


LIVES = {
    "fork out of a block": fork_out_of_a_block,
    "fork and go on": fork_and_go_on,
    "configure twice": configure_twice,
    "shutdown and again": shutdown_and_again,
    "foreign provider": foreign_provider,
    "library spans": library_spans,
    "api only": api_only,
}

if __name__ == "__main__":
    LIVES[sys.argv[1]]()
