from __future__ import annotations

from otel_workflow.report import tree_text
from tests.report.story import Story, night


def test_the_compact_tree_gives_name_outcome_whole_seconds_and_reason() -> None:
    assert tree_text(night()).splitlines() == [
        "nightly failure 140s",
        "  compile success 3s",
        "  lint failure 1s: 2 findings: a.py:1 unused b.py:7 shadowed",
        "  test failure 6s: TestsFailed: 1 of 2 tests failed",
        "    test_empty success 0s",
        "    test_total failure 0s: AssertionError: 1 != 2",
        "  worker error 7s: killed",
        "  deploy timeout 125s: TimeoutError",
        "  notify skip 0s: nobody to tell",
        "  tidy cancellation 1s: interrupted from the keyboard",
    ]


def test_a_running_phase_has_no_duration_yet() -> None:
    story = Story()
    story.starts("build", 1, inside=story.root())
    assert tree_text(story.run) == "nightly running\n  build running"
