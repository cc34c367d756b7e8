"""The demo's run, read back from a real Jaeger: one trace, complete and correct."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.report import load_runs
from otel_workflow.runs import Run
from tests.endtoend.processes import clean_environment
from tests.servers.jaeger import Jaeger

pytestmark = pytest.mark.servers

Span = dict[str, Any]


@pytest.fixture(scope="module")
def run(jaeger: Jaeger, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the demo once with Jaeger as its endpoint; what the journal says is what Jaeger must show."""
    journal = tmp_path_factory.mktemp("demo") / "j"
    done = subprocess.run(
        [sys.executable, "-m", "otel_workflow", "demo", "--journal", str(journal)],
        env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.endpoint),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = load_runs(journal)
    return made


@pytest.fixture(scope="module")
def spans(jaeger: Jaeger, run: Run) -> dict[str, Span]:
    """Return Jaeger's spans by id."""
    trace = jaeger.wait_for_trace(run.trace_id, spans=len(list(run.walk())))
    made = {span["spanID"]: span for span in trace["spans"]}
    assert len(trace["spans"]) == len(made)
    return made


def tags(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def parent(span: Span) -> str | None:
    """Return the id of a span's parent."""
    return next((r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"), None)


def named(spans: dict[str, Span], name: str) -> Span:
    """Return the only span of a name."""
    (span,) = [span for span in spans.values() if span["operationName"] == name]
    return span


def test_there_is_exactly_one_span_for_each_phase(run: Run, spans: dict[str, Span]) -> None:
    """Under the ids that the journal has."""
    assert {phase.span_id for _, phase in run.walk()} == set(spans)


def test_jaeger_has_no_warning_about_any_span(spans: dict[str, Span]) -> None:
    """No missing parent, no double id, no negative duration."""
    assert [] == [warning for span in spans.values() for warning in span["warnings"] or ()]


def test_the_root_is_a_server_span_named_by_action_and_workflow(spans: dict[str, Span]) -> None:
    """And the only span without a parent."""
    (root,) = [span for span in spans.values() if parent(span) is None]
    assert ("BUILD demo", "server") == (root["operationName"], tags(root)["span.kind"])


def test_every_phase_is_internal_and_has_its_parent(run: Run, spans: dict[str, Span]) -> None:
    """The tree in Jaeger is the tree of the journal."""
    expected = {child.span_id: ("internal", phase.span_id) for _, phase in run.walk() for child in phase.children}
    found = {key: (tags(span)["span.kind"], parent(span)) for key, span in spans.items() if parent(span)}
    assert expected == found


def test_start_and_end_of_every_phase_are_span_events(spans: dict[str, Span]) -> None:
    """First and last of its logs."""
    for span in spans.values():
        names = [field["value"] for log in span["logs"] for field in log["fields"] if field["key"] == "event"]
        subject = "workflow" if parent(span) is None else "phase"
        assert (f"{subject}.started", subject) == (names[0], names[-1].split(".")[0])


def test_statuses_are_those_of_the_outcomes(run: Run, spans: dict[str, Span]) -> None:
    """Failure and error are ERROR; success and skip leave the status unset."""
    outcomes = {phase.span_id: str(phase.outcome) for _, phase in run.walk()}
    failed = {key for key, outcome in outcomes.items() if outcome in ("failure", "error", "timeout")}
    assert failed == {key for key, span in spans.items() if tags(span).get("otel.status_code") == "ERROR"}
    assert {"success", "failure", "error", "skip"} == set(outcomes.values())


def test_a_failure_without_and_one_with_an_exception_say_why(spans: dict[str, Span]) -> None:
    """The exception's class is its error.type; its stack stands in an event."""
    lint, test = named(spans, "lint"), named(spans, "test")
    assert ("_OTHER", True) == (tags(lint)["error.type"], "1 finding" in tags(lint)["otel.status_description"])
    assert tags(test)["error.type"].endswith("TestsFailedError")
    fields = {field["key"] for log in test["logs"] for field in log["fields"]}
    assert {"exception.type", "exception.message", "exception.stacktrace"} <= fields


def test_the_killed_phase_is_there_with_its_error_type(spans: dict[str, Span]) -> None:
    """Although its process said nothing at its end."""
    killed = tags(named(spans, "integration"))
    assert ("killed", "error", True) == (
        killed["error.type"],
        killed["cicd.pipeline.task.run.result"],
        killed["otel_workflow.interrupted"],
    )


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("cicd.pipeline.run.id", "no-such-run"),
        ("cicd.pipeline.name", "no-such-workflow"),
        ("cicd.pipeline.result", "success"),
    ],
)
def test_the_run_is_found_by_what_stands_on_its_root(
    jaeger: Jaeger, run: Run, spans: dict[str, Span], key: str, wrong: str
) -> None:
    """By run id, workflow name and result; and not by a wrong value of any of them."""
    root = next(span for span in spans.values() if parent(span) is None)
    mine = {"cicd.pipeline.run.id": run.run_id}
    hits = jaeger.search("demo", mine | {key: str(tags(root)[key])}, operation="BUILD demo")
    misses = jaeger.search("demo", mine | {key: wrong}, operation="BUILD demo")
    assert ([run.trace_id], []) == ([trace["traceID"] for trace in hits], misses)
