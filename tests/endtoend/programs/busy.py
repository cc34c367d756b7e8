"""Opens and ends phases as fast as it can and tells each that has ended, until it is killed."""

from __future__ import annotations

import os
import threading

from opentelemetry import trace

import otel_workflow as ow


def work() -> None:
    """Phases with a library's span in each, for ever."""
    tracer = trace.get_tracer("library")
    while True:
        with ow.phase("busy", parent=RUN[0]) as phase:
            with tracer.start_as_current_span("library"):
                pass
        os.write(1, f'{{"span": "{phase.span_id}"}}\n'.encode())


RUN: list[ow.Workflow] = []


def main() -> None:
    """Two threads at work, and forked children that do the same."""
    ow.configure()
    with ow.workflow("busy") as run:
        RUN.append(run)
        os.fork()
        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
        threading.Event().wait()


if __name__ == "__main__":
    main()
