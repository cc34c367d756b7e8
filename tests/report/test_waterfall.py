from __future__ import annotations

import re
from datetime import UTC

import pytest

from otel_workflow.events import Outcome
from otel_workflow.report import Style, waterfall
from otel_workflow.report.wording import cells
from tests.report.story import NOON, Story, night

ASCII = Style(colour=False, unicode=False)


def test_a_run_is_drawn_as_a_tree_with_durations_outcomes_and_reasons() -> None:
    assert waterfall(night(), width=80, zone=UTC) == (
        "nightly  4bf92f35  ✖ failure  2m20s  2023-11-15 12:00:00 UTC\n"
        "\n"
        "✖ nightly                failure         2m20s  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━\n"
        "├─ ✔ compile                              3.2s  ━\n"
        "├─ ✖ lint                failure          1.2s  ╺╸\n"
        "│    2 findings: a.py:1 unused b.py:7 shadowed\n"
        "├─ ✖ test                failure          6.8s  ╺━╸\n"
        "│  │ TestsFailed: 1 of 2 tests failed\n"
        "│  ├─ ✔ test_empty                        12ms  ╺\n"
        "│  └─ ✖ test_total       failure          <1ms  ╺\n"
        "│       AssertionError: 1 != 2\n"
        "├─ ⚠ worker              error            7.0s  ╺━━\n"
        "│    killed, end estimated, at 3 of 10: shards\n"
        "├─ ⏱ deploy (attempt 2)  timeout         2m05s    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━\n"
        "│    TimeoutError\n"
        "├─ ⊘ notify              skip              0ms                                ╺\n"
        "│    nobody to tell\n"
        "└─ ■ tidy                cancellation     1.0s                                ╺╸\n"
        "     interrupted from the keyboard\n"
        "\n"
        "7 phases: 1 success, 2 failure, 1 error, 1 timeout, 1 cancellation, 1 skip\n"
        "2 items: 1 success, 1 failure"
    )


def test_where_the_encoding_lacks_the_marks_ascii_says_the_same() -> None:
    drawn = waterfall(night(), width=80, style=ASCII, zone=UTC)
    assert drawn.isascii()
    assert drawn.splitlines()[2:6] == [
        "x nightly                failure         2m20s  ================================",
        "|- + compile                              3.2s  =",
        "|- x lint                failure          1.2s  --",
        "|    2 findings: a.py:1 unused b.py:7 shadowed",
    ]
    assert "`- / tidy " in drawn


def test_colour_changes_nothing_but_colour() -> None:
    coloured = waterfall(night(), width=80, style=Style(colour=True), zone=UTC)
    assert "\x1b[31m✖\x1b[0m" in coloured
    bare = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[\d+m", "", coloured).split("\n"))
    assert waterfall(night(), width=80, zone=UTC) == bare


def test_a_running_phase_is_shown_with_its_age_and_how_far_it_is() -> None:
    story = Story()
    root = story.root()
    build = story.starts("build", 1, inside=root)
    story.progress(build, 5, done=2.5, total=10)
    drawn = waterfall(story.run, width=60, now_ns=NOON + 61_000_000_000, zone=UTC)
    assert drawn.splitlines()[0] == "nightly  4bf92f35  ● running  1m01s  2023-11-15 12:00:00 UTC"
    assert "└─ ● build  running    1m00s" in drawn
    assert "at 2.5 of 10" in drawn
    assert drawn.splitlines()[-1] == "1 phase: 1 running"


def test_a_clock_behind_the_run_does_not_make_negative_ages() -> None:
    story = Story()
    story.root(at=10)
    assert "running      0ms" in waterfall(story.run, width=60, now_ns=NOON, zone=UTC)


def test_names_and_reasons_cannot_reach_the_terminal_as_commands() -> None:
    story = Story("\x1b[2Jwipe\x07")
    root = story.root()
    story.whole("a\nb\u202etxt\udc80\x9b31m", 0, 1, Outcome.FAILURE, "\x1b]0;title\x07 and\r\nmore", inside=root)
    story.progress(story.starts("c", 0, inside=root), 1, done=1, total=2, message="\x1b[31m")
    story.ends(root, 2)
    drawn = waterfall(story.run, width=120)
    assert all(character == "\n" or character.isprintable() for character in drawn)
    assert r"\x1b[2Jwipe\x07" in drawn
    assert r"a\nb\u202etxt\udc80\x9b31m" in drawn
    assert drawn.encode()


def test_a_reason_that_went_through_several_phases_is_said_once_at_the_innermost() -> None:
    story = Story()
    root = story.root()
    outer = story.starts("outer", 0, inside=root)
    story.whole("inner", 0, 1, Outcome.FAILURE, "ValueError: x", inside=outer)
    story.ends(outer, 1, Outcome.FAILURE, "ValueError: x")
    story.ends(root, 1, Outcome.FAILURE, "ValueError: x")
    assert waterfall(story.run).count("ValueError: x") == 1


def test_contradicting_ends_are_shown_not_hidden() -> None:
    story = Story()
    span = story.whole("lint", 0, 1, Outcome.SUCCESS)
    story.ends(span, 2, Outcome.FAILURE, "late")
    assert "also reported as failure" in waterfall(story.run)


def test_thousands_of_successful_items_become_one_line_and_failures_stay() -> None:
    story = Story()
    root = story.root()
    for number in range(2000):
        outcome = Outcome.FAILURE if number == 1234 else Outcome.SUCCESS
        story.whole(f"test_{number}", number, number + 0.5, outcome, inside=root, detail="item")
    story.ends(root, 2001)
    drawn = waterfall(story.run, width=100)
    assert len(drawn.splitlines()) < 50
    assert "… 1959 more items, all success" in drawn
    assert "test_1234" in drawn
    assert "2000 items: 1999 success, 1 failure" in drawn


@pytest.mark.parametrize("width", [1, 20, 40, 55, 80, 120, 300])
def test_no_line_is_wider_than_asked_for_from_forty_columns_on(width: int) -> None:
    story = Story("名前" * 40)
    root = story.root()
    story.whole("x" * 300, 0, 1, Outcome.FAILURE, "word " * 100 + "y" * 500, inside=root)
    story.whole("検査" * 50, 0, 1, Outcome.CANCELLATION, "理由" * 200, inside=root)
    story.ends(root, 5)
    lines = waterfall(story.run, width=width, zone=UTC).splitlines()
    assert max(cells(line) for line in lines[1:]) <= max(width, 40)


def test_a_very_deep_tree_is_drawn_without_running_out_of_stack_or_width() -> None:
    story = Story()
    inside = story.root()
    for depth in range(10_000):
        inside = story.starts(f"level {depth}", depth, inside=inside)
    story.owner_dies(10_000)
    lines = waterfall(story.run, width=80, zone=UTC).splitlines()
    assert any("level 9999" in line for line in lines)
    assert max(map(cells, lines)) <= 80


def test_a_journal_with_parents_in_a_circle_is_drawn_and_ends() -> None:
    story = Story()
    story.starts("a", 0, inside=f"{2:016x}")
    story.starts("b", 1, inside=f"{1:016x}")
    story.owner_dies(2)
    assert "a" in waterfall(story.run)


def test_a_run_known_only_from_a_child_process_is_named_by_its_workflow() -> None:
    story = Story("release")
    story.whole("worker 1", 0, 2, inside="f" * 16)
    story.whole("worker 2", 1, 3, Outcome.ERROR, "lost", inside="f" * 16)
    drawn = waterfall(story.run, width=80, zone=UTC)
    assert drawn.startswith("release  4bf92f35  ⚠ error  3.0s")
    assert "\n✔ worker 1" in drawn
