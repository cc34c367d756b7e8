"""A real run of crackerjack 0.46.4, recorded by ``record_crackerjack.py``, becomes the right trace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.engines import crackerjack
from otel_workflow.report import load_runs, tree_text
from otel_workflow.testing import Captured, capture_workflow
from tests.engines.standin import RECORDED, recorded_events
from tests.servers.jaeger import Jaeger

FOUND = json.loads(RECORDED.read_text(encoding="utf-8"))
HOOKS = 15
FAILED = 11
CONTRADICTION = "otel_workflow.contradiction"


@pytest.fixture
def replayed(module: Any) -> Captured:
    """Everything the run said, said again to a stand-in that we follow; the second bus says nothing."""
    with capture_workflow() as captured:
        crackerjack.attach()
        bus, _ = module.WorkflowEventBus(), module.WorkflowEventBus()
        for each in recorded_events():
            bus.dispatch(each)
        assert crackerjack.flush()
    return captured


def spans(captured: Captured, name: str) -> list[dict[str, Any]]:
    """The spans of this name, by start."""
    return sorted((s for s in captured.spans if s["name"] == name), key=lambda s: s["start"])


def result(span: dict[str, Any]) -> str:
    """How it ended."""
    attributes = span["attributes"]
    return str(attributes.get("cicd.pipeline.task.run.result") or attributes.get("cicd.pipeline.result"))


def test_the_recording_is_a_whole_run_and_says_nothing_of_the_machine() -> None:
    assert (74, 2, "0.46.4") == (len(FOUND["events"]), FOUND["buses"], FOUND["crackerjack"])
    assert [] == re.findall(r"/(?:root|home|tmp|usr|work|private)/[^\"]*", RECORDED.read_text(encoding="utf-8"))


def test_the_replayed_tree_is_the_one_that_was_recorded_live(replayed: Captured) -> None:
    """The adapter was attached while the run was recorded."""
    assert FOUND["tree"] == replayed.tree()


def test_every_event_has_its_place(replayed: Captured) -> None:
    """A run, its two steps, the strategy's two attempts with two rounds in the first, 2 x 15 hooks."""
    by_id = {span["id"]: span["name"] for span in replayed.spans}
    places = Counter((span["name"], by_id.get(span["parent"])) for span in replayed.spans)
    hooks = {name: count for (name, parent), count in places.items() if parent == "fast" and name != "fast"}

    assert 1 + 2 + 2 + 2 + 2 * HOOKS == len(replayed.spans)
    assert 1 == places["RUN crackerjack-fast-hooks", None]
    assert 1 == places["Configuration", "RUN crackerjack-fast-hooks"]
    assert 1 == places["Fast Hooks", "RUN crackerjack-fast-hooks"]
    assert 2 == places["fast", "Fast Hooks"]
    assert 2 == places["fast", "fast"]
    assert (HOOKS, {2}) == (len(hooks), set(hooks.values()))


def test_a_hook_that_completed_with_status_failed_has_failed(replayed: Captured) -> None:
    ends = Counter(result(span) for span in replayed.spans if span["events"][-1][1].startswith("hooks.execution."))
    assert {"failure": 2 * FAILED, "success": 2 * (HOOKS - FAILED)} == ends


def test_the_invisible_retries_are_attempts(replayed: Captured) -> None:
    """The engine repeated the step, and crackerjack its verification; neither says so."""
    attempts = [(span["attributes"].get("otel_workflow.attempt", 1), result(span)) for span in spans(replayed, "fast")]
    outer_first, inner_first, inner_second, outer_second = attempts
    assert (1, "failure") == outer_first == inner_first
    assert (2, "failure") == inner_second
    assert (2, "success") == outer_second


def test_a_failed_strategy_says_which_hooks_failed(replayed: Captured) -> None:
    """The original's failed event carries no error."""
    outer = spans(replayed, "fast")[0]
    assert "reason" not in FOUND["events"][-5]["payload"]
    assert outer["attributes"]["otel_workflow.reason"].startswith("fast: ")


def test_contradictions_are_flagged_and_only_they(replayed: Captured) -> None:
    """The step reports 2 ms of success for what took 50 s and failed first."""
    flagged = {
        span["name"]: span["attributes"][CONTRADICTION]
        for span in replayed.spans
        if CONTRADICTION in span["attributes"]
    }
    assert {"Fast Hooks"} == set(flagged)
    assert re.fullmatch(r"reported 0\.00\d s, observed \d\d\.\d{3} s", flagged["Fast Hooks"])


def test_the_times_are_those_of_the_events(replayed: Captured) -> None:
    """Not of their arrival: the replay took a moment, the run most of a minute."""
    [run] = spans(replayed, "RUN crackerjack-fast-hooks")
    assert 30 < run["end"] - run["start"] < 120
    assert all(run["start"] <= span["start"] <= span["end"] <= run["end"] for span in replayed.spans)


@pytest.mark.servers
def test_the_replay_is_the_same_trace_in_jaeger(jaeger: Jaeger, tmp_path: Path) -> None:
    """Through journal, bridge and network, and found by what a user would ask for."""
    script = Path(__file__).parent / "replay.py"
    root = str(Path(__file__).parents[2])
    environ = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": root, "HOME": str(tmp_path),
        "OW_JOURNAL": str(tmp_path / "j"), "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.endpoint,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, script], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    [run] = load_runs(tmp_path / "j")
    assert FOUND["tree"] == tree_text(run)

    trace = jaeger.wait_for_trace(run.trace_id, spans=37)
    found = {span["spanID"]: span for span in trace["spans"] if span["operationName"] != "run started"}
    above = {
        (span["operationName"], found[span["references"][0]["spanID"]]["operationName"] if span["references"] else "-")
        for span in found.values()
    }
    tags = {span["operationName"]: {tag["key"]: tag["value"] for tag in span["tags"]} for span in found.values()}
    errors = [s for s in found.values() if {"key": "error", "type": "bool", "value": True} in s["tags"]]

    assert 37 == len(found)
    assert {
        ("RUN crackerjack-fast-hooks", "-"), ("Configuration", "RUN crackerjack-fast-hooks"),
        ("Fast Hooks", "RUN crackerjack-fast-hooks"), ("fast", "Fast Hooks"), ("fast", "fast"), ("ruff-check", "fast"),
    } <= above  # fmt: skip
    assert 2 * FAILED + 3 == len(errors)
    assert "success" == tags["RUN crackerjack-fast-hooks"]["cicd.pipeline.result"]
    assert tags["Fast Hooks"][CONTRADICTION].startswith("reported 0.00")
