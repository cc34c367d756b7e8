"""Every name we emit, once: attributes, span events, metrics, and how Prometheus spells them.

Attribute names follow the OpenTelemetry semantic conventions 1.44 (CI/CD, VCS, error); ours
begin with ``otel_workflow.``. A test holds each standard name against the installed conventions
package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from otel_workflow.events import Outcome, transition_of

__all__ = (
    "METRICS",
    "SCHEMA_URL",
    "SCOPE_NAME",
    "Metric",
    "end_attributes",
    "lifecycle_event",
    "prometheus_name",
    "result_attributes",
    "run_attributes",
    "run_span_name",
    "task_attributes",
)

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SCOPE_NAME = "otel_workflow"

# CI/CD conventions
PIPELINE_NAME = "cicd.pipeline.name"
PIPELINE_ACTION = "cicd.pipeline.action.name"
PIPELINE_RUN_ID = "cicd.pipeline.run.id"
PIPELINE_RUN_STATE = "cicd.pipeline.run.state"
PIPELINE_RUN_URL = "cicd.pipeline.run.url.full"
PIPELINE_RESULT = "cicd.pipeline.result"
TASK_NAME = "cicd.pipeline.task.name"
TASK_RUN_ID = "cicd.pipeline.task.run.id"
TASK_RESULT = "cicd.pipeline.task.run.result"
TASK_TYPE = "cicd.pipeline.task.type"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

# Ours
REASON = "otel_workflow.reason"
ATTEMPT = "otel_workflow.attempt"
DETAIL = "otel_workflow.detail"
DURATION = "otel_workflow.duration"
INTERRUPTED = "otel_workflow.interrupted"
END_ESTIMATED = "otel_workflow.end.estimated"
PARENT_INFERRED = "otel_workflow.parent.inferred"
CONTRADICTION = "otel_workflow.contradiction"
REPORTED = "otel_workflow.duration.reported"
PROGRESS_DONE = "otel_workflow.progress.done"
PROGRESS_TOTAL = "otel_workflow.progress.total"
PROGRESS_MESSAGE = "otel_workflow.progress.message"
LINK_KIND = "otel_workflow.link"
LINK_CORRECTS, LINK_CONTRADICTS = "corrects", "contradicts"
LATE_VERDICT = "otel_workflow.late_verdict"

ERROR_TYPE_OTHER = "_OTHER"


def run_span_name(action: str, workflow: str) -> str:
    """Return the name of a run's root span, ``{action} {pipeline}`` (``RUN nightly``)."""
    return f"{action} {workflow}"


def run_attributes(workflow: str, run_id: str, action: str) -> dict[str, Any]:
    """Return what makes a run findable: search matches one span, so all of it stands on the root."""
    return {PIPELINE_NAME: workflow, PIPELINE_RUN_ID: run_id, PIPELINE_ACTION: action}


def task_attributes(name: str, span_id: str, task_type: str | None, attempt: int, detail: str) -> dict[str, Any]:
    """Return the attributes that every phase span carries."""
    attributes: dict[str, Any] = {TASK_NAME: name, TASK_RUN_ID: span_id}
    if task_type:
        attributes[TASK_TYPE] = task_type
    if attempt != 1:
        attributes[ATTEMPT] = attempt
    if detail != "phase":
        attributes[DETAIL] = detail
    return attributes


def result_attributes(outcome: Outcome, *, is_run: bool) -> dict[str, Any]:
    """Return the result under the name a run or a phase has for it."""
    return {PIPELINE_RESULT if is_run else TASK_RESULT: outcome.value}


def end_attributes(
    outcome: Outcome, *, is_run: bool, reason: str = "", error_type: str | None = None
) -> dict[str, Any]:
    """Return the attributes a span gains when its phase ends."""
    attributes = result_attributes(outcome, is_run=is_run)
    if error_type:
        attributes[ERROR_TYPE] = error_type
    if reason:
        attributes[REASON] = reason
    return attributes


def lifecycle_event(
    subject: str,
    outcome: Outcome | None,
    *,
    duration_ns: int = 0,
    reason: str = "",
    error_type: str | None = None,
    interrupted: bool = False,
) -> tuple[str, dict[str, Any]]:
    """Return name and attributes of the span event for a start (no outcome) or an end.

    The one place where lifecycle span events are made, for both lanes.
    """
    if outcome is None:
        return f"{subject}.started", {}
    attributes: dict[str, Any] = {DURATION: duration_ns / 1e9}
    if error_type:
        attributes[ERROR_TYPE] = error_type
    if reason:
        attributes[REASON] = reason
    return f"{subject}.{'interrupted' if interrupted else transition_of(outcome)}", attributes


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue; ``unit`` in UCUM as OTLP carries it, ``bounds`` in that unit."""

    name: str
    unit: str
    instrument: Literal["counter", "updowncounter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "cicd.pipeline.run.duration",
            "s",
            "histogram",
            "How long a run was in a state",
            (PIPELINE_NAME, PIPELINE_RUN_STATE),
        ),
        Metric(
            "cicd.pipeline.run.active",
            "{run}",
            "updowncounter",
            "Runs that are active",
            (PIPELINE_NAME, PIPELINE_RUN_STATE),
        ),
        Metric(
            "cicd.pipeline.run.errors",
            "{error}",
            "counter",
            "Errors met in runs",
            (PIPELINE_NAME, ERROR_TYPE),
        ),
    )
}
"""The metrics of the conventions; the metrics bridge adds ours beside them."""

_UNIT_SUFFIX = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


def prometheus_name(metric: Metric) -> str:
    """Return the name under which Prometheus stores the metric (OTLP compatibility rules)."""
    name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
    name += "" if metric.unit.startswith("{") else _UNIT_SUFFIX.get(metric.unit, f"_{metric.unit}")
    return name + "_total" if metric.instrument == "counter" else name
