"""The short way to most phases: one inside another of the same recorder, with nothing said about it.

Its trace, run and sampling are those of the phase around it, so nobody is asked. Gives exactly what
``parentage`` and ``spans`` give; a test compares the records of both ways.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_workflow.instrumentation.context import task_key
from otel_workflow.instrumentation.phases import Phase

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_workflow.instrumentation.attributes import Kept
    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("child_of",)


def child_of(
    outer: Phase,
    spec: Spec,
    recorder: Recorder,
    previous: Context,
    start_ns: int,
    offset: int,
    attributes: Kept,
) -> Phase | None:
    """Return a phase inside ``outer``, whose span is the current one, or None where it takes more to tell.

    ``offset`` is the start in ns minus what the monotonic clock said.
    """
    run = outer._run
    if (
        run.recorder is not recorder
        or not run.is_native
        or run.pid != os.getpid()
        or spec.is_run
        or spec.parent is not None
        or spec.links != ()
    ):
        return None
    draw, task = run.draw, task_key()
    span_id = ((draw(64) or 1) if draw is not None else recorder.ids.span_id()).to_bytes(8, "big")
    # Equal numbers are kept once: thousands of phases may be open.
    if offset == outer._offset:
        offset = outer._offset
    if task == outer._task:
        task = outer._task
    return Phase(
        spec, run, outer, previous, span_id, outer._span_id, start_ns, offset, run.child_flags, task, attributes
    )
