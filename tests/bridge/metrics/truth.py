"""What a set of facts comes to, reckoned the plain way: no files, no births, no order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from otel_workflow.bridge.metrics import Began, Finished

__all__ = ("truth_of",)

_BAD = ("failure", "error", "timeout")


def truth_of(facts: Iterable[Began | Finished]) -> dict[str, int]:
    """Counts by the name of the sample, those of 0 left out."""
    found: Counter[str] = Counter()
    starts = {(f.trace_id, f.span_id): f for f in facts if f.is_run}
    for run in starts.values():
        found[f'otel_workflow_run_started_total{{cicd_pipeline_name="{run.workflow}"}}'] += 1
        if run.queued_ns is not None:
            labels = f'cicd_pipeline_name="{run.workflow}",cicd_pipeline_run_state="pending"'
            found[f"cicd_pipeline_run_duration_seconds_count{{{labels}}}"] += 1
    ends = {(f.trace_id, f.span_id): f for f in facts if isinstance(f, Finished)}
    for end in ends.values():
        (_add_run if end.is_run else _add_phase)(found, end)
    return dict(found)


def _add_run(found: Counter[str], end: Finished) -> None:
    pipeline = f'cicd_pipeline_name="{end.workflow}"'
    found[f"otel_workflow_run_finished_total{{{pipeline}}}"] += 1
    labels = f'{pipeline},cicd_pipeline_result="{end.outcome}",cicd_pipeline_run_state="executing"'
    found[f"cicd_pipeline_run_duration_seconds_count{{{labels}}}"] += 1
    if end.outcome in _BAD:
        found[f'cicd_pipeline_run_errors_total{{{pipeline},error_type="{end.error_type or "_OTHER"}"}}'] += 1


def _add_phase(found: Counter[str], end: Finished) -> None:
    task = f'cicd_pipeline_name="{end.workflow}",cicd_pipeline_task_name="{end.name}"'
    found[f"otel_workflow_phase_duration_seconds_count{{{task}}}"] += 1
    cause = f',error_type="{end.error_type or "_OTHER"}"' if end.outcome in _BAD else ""
    found[f'otel_workflow_phase_runs_total{{{task},cicd_pipeline_task_run_result="{end.outcome}"{cause}}}'] += 1
    if end.retries:
        found[f"otel_workflow_phase_retries_total{{{task}}}"] += end.retries
