"""A run as one JSON document: everything the fold knows, for programs.

Phases are a flat list in reading order with ``parent`` ids, so that a tree of any depth can be
read by a line of jq. Times are ns since the epoch (integers), durations seconds (floats).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from otel_workflow.report.notes import progress_of
from otel_workflow.report.wording import result_word
from otel_workflow.runs import PhaseRun, Run

__all__ = ("SCHEMA", "plain", "run_document", "run_summary")

SCHEMA = 1
"""The version of every document; a change that could break a reader raises it."""


def run_summary(run: Run) -> dict[str, Any]:
    """Return what a list of runs shows of each."""
    end = run.end_ns
    return {
        "run_id": run.run_id,
        "trace_id": run.trace_id,
        "workflow": run.name,
        "result": result_word(run.outcome),
        "started": _iso(run.start_ns),
        "start_ns": run.start_ns,
        "end_ns": end,
        "duration": None if end is None else (end - run.start_ns) / 1e9,
    }


def run_document(run: Run) -> dict[str, Any]:
    """Return a run with its phases as plain data for ``json.dumps``, ``"schema": 1``."""
    phases = []
    stack: list[tuple[int, PhaseRun]] = [(0, phase) for phase in reversed(run.top)]
    seen: set[int] = set()  # ids from a foreign journal may form a circle
    while stack:
        depth, phase = stack.pop()
        if id(phase) in seen:
            continue
        seen.add(id(phase))
        phases.append(_phase(phase, depth))
        stack.extend((depth + 1, inner) for inner in reversed(phase.children))
    return {"schema": SCHEMA, "run": {**run_summary(run), "phases": phases}}


def _phase(phase: PhaseRun, depth: int) -> dict[str, Any]:
    facts = phase.facts
    ended = phase.end.facts if phase.end is not None else None
    took = phase.duration_ns
    progress = progress_of(phase)
    return {
        "id": phase.span_id,
        "parent": phase.parent_id,
        "depth": depth,
        "name": phase.name,
        "is_run": facts.is_run,
        "detail": facts.detail,
        "type": facts.task_type,
        "attempt": facts.attempt,
        "result": result_word(phase.outcome),
        "reason": ended.reason if ended is not None else phase.reason,
        "error_type": phase.error_type,
        "interrupted": phase.interrupted,
        "end_estimated": phase.interrupted,
        "start_ns": phase.start_ns,
        "end_ns": phase.end_ns,
        "duration": None if took is None else took / 1e9,
        "progress": {key: plain(progress[key]) for key in ("done", "total", "message") if key in progress} or None,
        "attributes": plain({**facts.attributes, **(ended.attributes if ended is not None else {})}),
        "contradictions": [
            result_word(event.facts.outcome) for event in phase.contradictions.values() if event.facts is not None
        ],
    }


def plain(value: Any) -> Any:
    """Return a value as strict JSON has it: numbers it lacks (NaN, infinities) become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def _iso(time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06}Z"
