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
    "BOUNDS",
    "METRICS",
    "OVERFLOW",
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
VCS_REPOSITORY_NAME = "vcs.repository.name"
VCS_REPOSITORY_URL = "vcs.repository.url.full"
VCS_HEAD_NAME = "vcs.ref.head.name"
VCS_HEAD_REVISION = "vcs.ref.head.revision"
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
TRIMMED = "otel_workflow.trimmed"
"""What was cut from a span too large for the backend: attribute keys, how many events and links."""
CONTRADICTION = "otel_workflow.contradiction"
REPORTED = "otel_workflow.duration.reported"
PROGRESS_DONE = "otel_workflow.progress.done"
PROGRESS_TOTAL = "otel_workflow.progress.total"
PROGRESS_MESSAGE = "otel_workflow.progress.message"
LINK_KIND = "otel_workflow.link"
LINK_CORRECTS, LINK_CONTRADICTS = "corrects", "contradicts"
LATE_VERDICT = "otel_workflow.late_verdict"
DROP_REASON = "otel_workflow.drop.reason"

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


OVERFLOW = ("otel.metric.overflow", "true")
"""The attribute of the series that takes what a cap refused (OpenTelemetry's metrics SDK specification)."""

BOUNDS = (
    *(1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0),
    *(450.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0, 5400.0, 7200.0, 10800.0, 14400.0, 28800.0),
)
"""The 24 upper bounds of every duration, in seconds; none below one: what a span is for needs no bucket."""

_RUN = "otel_workflow.run"
_PHASE = "otel_workflow.phase"
_BRIDGE = "otel_workflow.bridge"
_OF_TASK = (PIPELINE_NAME, TASK_NAME)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "cicd.pipeline.run.duration",
            "s",
            "histogram",
            "How long runs were pending, and how long they executed",
            (PIPELINE_NAME, PIPELINE_RUN_STATE, PIPELINE_RESULT),
            BOUNDS,
        ),
        Metric(
            "cicd.pipeline.run.active",
            "{run}",
            "updowncounter",
            "Runs that have begun and not ended",
            (PIPELINE_NAME, PIPELINE_RUN_STATE),
        ),
        Metric(
            "cicd.pipeline.run.errors",
            "{error}",
            "counter",
            "Runs that ended in failure, error or timeout, by cause",
            (PIPELINE_NAME, ERROR_TYPE),
        ),
        Metric(f"{_RUN}.started", "{run}", "counter", "Runs that began", (PIPELINE_NAME,)),
        Metric(f"{_RUN}.finished", "{run}", "counter", "Runs that ended, however they did", (PIPELINE_NAME,)),
        Metric(
            f"{_RUN}.last_end",
            "s",
            "gauge",
            "When the last run with a result ended, since the epoch",
            (PIPELINE_NAME, PIPELINE_RESULT),
        ),
        Metric(f"{_RUN}.oldest_active", "s", "gauge", "How long the oldest active run has run", (PIPELINE_NAME,)),
        Metric(
            f"{_RUN}.recovery.duration",
            "s",
            "histogram",
            "From the first failed run of a pipeline to its next success",
            (PIPELINE_NAME,),
            BOUNDS,
        ),
        Metric(f"{_PHASE}.duration", "s", "histogram", "How long phases took", _OF_TASK, BOUNDS),
        Metric(
            f"{_PHASE}.runs",
            "{phase}",
            "counter",
            "Phases that ended, by result and cause",
            (*_OF_TASK, TASK_RESULT, ERROR_TYPE),
        ),
        Metric(f"{_PHASE}.retries", "{retry}", "counter", "Phases that were tried again", _OF_TASK),
        Metric(f"{_BRIDGE}.duplicates", "{fact}", "counter", "Ends that came again and were not counted again"),
        Metric(f"{_BRIDGE}.late_verdicts", "{verdict}", "counter", "Real ends after one that was inferred"),
        Metric(f"{_BRIDGE}.dropped", "{fact}", "counter", "What was heard and not counted, by reason", (DROP_REASON,)),
        Metric(f"{_BRIDGE}.refused", "{request}", "counter", "Requests that were refused, by reason", (DROP_REASON,)),
        Metric(f"{_BRIDGE}.overflow", "{point}", "counter", "What was counted in an overflow series"),
        Metric(f"{_BRIDGE}.series", "{series}", "gauge", "Series that the bridge keeps"),
        Metric(f"{_BRIDGE}.backlog", "{span}", "gauge", "Spans that were read and wait to be delivered"),
        Metric(f"{_BRIDGE}.oldest", "s", "gauge", "How long the oldest of them has waited"),
        Metric(
            f"{_BRIDGE}.silent_runs", "{run}", "gauge", "Remote runs that are silent for so long that they seem lost"
        ),
    )
}
"""Every metric: those of the conventions under their names, and ours beside them."""

_UNIT_SUFFIX = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


def prometheus_name(metric: Metric) -> str:
    """Return the name under which Prometheus stores the metric (OTLP compatibility rules)."""
    name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
    name += "" if metric.unit.startswith("{") else _UNIT_SUFFIX.get(metric.unit, f"_{metric.unit}")
    return name + "_total" if metric.instrument == "counter" else name
