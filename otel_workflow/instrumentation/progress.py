"""Says how far an open phase is: at once, or held for a while if the last report is fresh."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from otel_workflow.instrumentation.bodies import PROGRESS, made_record, progress_body, put
from otel_workflow.values import clean_attributes

if TYPE_CHECKING:
    from otel_workflow.instrumentation.phases import Phase

__all__ = ("report_progress", "write_held")

_EVERY_NS = 100_000_000


def report_progress(phase: Phase, done: float, total: float | None, message: str) -> None:
    """Journal how far a phase is, at most ten times a second; the last report is kept."""
    run = phase._run
    if run.recorder is None or run.pid != os.getpid():
        return
    time_ns, mono = run.recorder.clock.now()
    report = clean_attributes({"done": done, "total": total, "message": message})
    marks = phase._marked()
    if marks.progress_ns is not None and mono - marks.progress_ns < _EVERY_NS:
        marks.progress_held = report
        return
    _write(phase, report, time_ns, mono)


def write_held(phase: Phase, time_ns: int, mono: int) -> None:
    """Journal the last report if it was held; for a phase that ends."""
    if (held := phase._marked().progress_held) is not None:
        _write(phase, held, time_ns, mono)


def _write(phase: Phase, report: dict[str, Any], time_ns: int, mono: int) -> None:
    marks = phase._marked()
    marks.progress_ns, marks.progress_held = mono, None
    payload = made_record(phase, PROGRESS, time_ns, mono, progress_body(phase, report))
    phase._sequence += 1
    if (recorder := phase._run.recorder) is not None:
        put(phase, recorder, payload)
