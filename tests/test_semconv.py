"""Standard names are those of the installed conventions; Prometheus spells ours as it should."""

from __future__ import annotations

import importlib
import pkgutil
import re

import opentelemetry.semconv
import pytest
from opentelemetry.semconv.schemas import Schemas

from otel_workflow import semconv
from otel_workflow.events import Outcome
from otel_workflow.semconv import METRICS, Metric, prometheus_name


def installed_names() -> set[str]:
    """Every attribute and metric name of the conventions package, stable and incubating."""
    names: set[str] = set()
    for package in ("attributes", "metrics", "_incubating.attributes", "_incubating.metrics"):
        parent = importlib.import_module(f"opentelemetry.semconv.{package}")
        modules = [parent.__name__, *(f"{parent.__name__}.{m.name}" for m in pkgutil.iter_modules(parent.__path__))]
        for name in modules:
            values = vars(importlib.import_module(name)).items()
            names |= {value for key, value in values if key.isupper() and isinstance(value, str)}
    return names


def our_names() -> dict[str, str]:
    """The attribute names that the module declares, by constant."""
    values = vars(semconv).items()
    return {key: value for key, value in values if key.isupper() and isinstance(value, str) and "." in value}


def test_each_standard_attribute_exists_in_the_installed_conventions() -> None:
    assert opentelemetry.semconv.__name__
    declared = {name for key, name in our_names().items() if not name.startswith(("otel_workflow.", "https://"))}
    assert {"cicd.pipeline.run.id", "error.type", "exception.stacktrace"} <= declared
    assert set() == declared - installed_names()


def test_each_metric_of_the_catalogue_is_one_of_the_conventions_or_begins_with_our_name() -> None:
    standard = {name for name in METRICS if not name.startswith("otel_workflow.")}
    assert set() == standard - installed_names()
    assert list(METRICS) == [metric.name for metric in METRICS.values()]


def test_every_label_of_the_catalogue_is_a_declared_attribute() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert labels <= set(our_names().values())


def test_the_schema_is_one_that_the_installed_conventions_know() -> None:
    assert semconv.SCHEMA_URL in {schema.value for schema in Schemas}


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (METRICS["cicd.pipeline.run.duration"], "cicd_pipeline_run_duration_seconds"),
        (METRICS["cicd.pipeline.run.active"], "cicd_pipeline_run_active"),
        (METRICS["cicd.pipeline.run.errors"], "cicd_pipeline_run_errors_total"),
        (Metric("otel_workflow.bytes", "By", "counter", ""), "otel_workflow_bytes_bytes_total"),
        (Metric("a.share", "1", "gauge", ""), "a_share_ratio"),
        (Metric("a-b c", "{item}", "gauge", ""), "a_b_c"),
    ],
)
def test_prometheus_spells_a_metric_with_its_unit_and_total(metric: Metric, name: str) -> None:
    assert name == prometheus_name(metric)


def test_every_name_of_the_catalogue_is_one_that_prometheus_takes_and_none_is_taken_twice() -> None:
    names = [prometheus_name(metric) for metric in METRICS.values()]
    assert len(names) == len(set(names))
    assert {True} == {re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) is not None for name in names}


def test_a_run_and_a_phase_carry_their_result_under_their_own_names() -> None:
    assert {"cicd.pipeline.result": "skip"} == semconv.result_attributes(Outcome.SKIP, is_run=True)
    assert {
        "cicd.pipeline.task.run.result": "failure",
        "error.type": "E",
        "otel_workflow.reason": "why",
    } == semconv.end_attributes(Outcome.FAILURE, is_run=False, reason="why", error_type="E")
    assert "RUN nightly" == semconv.run_span_name("RUN", "nightly")


@pytest.mark.parametrize(
    ("outcome", "interrupted", "name"),
    [
        (None, False, "phase.started"),
        (Outcome.SUCCESS, False, "phase.completed"),
        (Outcome.TIMEOUT, False, "phase.failed"),
        (Outcome.ERROR, True, "phase.interrupted"),
    ],
)
def test_lifecycle_events_are_named_after_subject_and_transition(
    outcome: Outcome | None, interrupted: bool, name: str
) -> None:
    assert name == semconv.lifecycle_event("phase", outcome, duration_ns=1, interrupted=interrupted)[0]
