from __future__ import annotations

import json

from otel_workflow.events import Outcome
from otel_workflow.report import run_document
from tests.report.story import NOON, Story, night


def test_a_run_becomes_one_document_with_its_phases_in_reading_order() -> None:
    made = json.loads(json.dumps(run_document(night()), allow_nan=False))
    assert made["schema"] == 1
    run = made["run"]
    assert (run["workflow"], run["result"], run["duration"]) == ("nightly", "failure", 140.0)
    assert run["started"] == "2023-11-15T12:00:00.000000Z"
    names = [phase["name"] for phase in run["phases"]]
    assert names[:5] == ["nightly", "compile", "lint", "test", "test_empty"]
    by_name = {phase["name"]: phase for phase in run["phases"]}
    assert by_name["test_empty"]["parent"] == by_name["test"]["id"]
    assert by_name["lint"]["reason"].endswith("b.py:7 shadowed")
    worker = by_name["worker"]
    assert (worker["result"], worker["interrupted"], worker["error_type"]) == ("error", True, "killed")
    assert worker["progress"] == {"done": 3, "total": 10, "message": "shards"}


def test_what_runs_has_no_end_and_no_duration() -> None:
    story = Story()
    story.root()
    run = run_document(story.run)["run"]
    assert (run["result"], run["end_ns"], run["duration"], run["start_ns"]) == ("running", None, None, NOON)


def test_numbers_that_json_lacks_become_text() -> None:
    story = Story()
    story.whole("x", 0, 1, attributes={"odd": float("nan"), "many": [float("inf"), 1]})
    (phase,) = run_document(story.run)["run"]["phases"]
    assert phase["attributes"] == {"odd": "nan", "many": ["inf", 1]}
    json.dumps(phase, allow_nan=False)


def test_a_tree_of_any_depth_is_one_flat_document() -> None:
    story = Story()
    inside = story.root()
    for depth in range(3000):
        inside = story.whole(f"level {depth}", depth, depth + 1, Outcome.SUCCESS, inside=inside)
    phases = run_document(story.run)["run"]["phases"]
    assert phases[-1]["depth"] == 3000
    assert json.loads(json.dumps(phases))
