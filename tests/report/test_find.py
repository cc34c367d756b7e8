from __future__ import annotations

import pytest

from otel_workflow.errors import ConfigError, JournalError
from otel_workflow.events import Outcome
from otel_workflow.report import find_run
from otel_workflow.runs import Run
from tests.report.story import Story


def finished(trace: str, at: float, outcome: Outcome, run_id: str | None = None) -> Run:
    story = Story(trace=trace * 4, run_id=run_id)
    story.ends(story.root(at), at + 1, outcome)
    return story.run


RUNS = [
    finished("aaaa0000", 1, Outcome.SUCCESS),
    finished("aaab0000", 2, Outcome.SUCCESS, "github-7"),
    finished("cccc0000", 3, Outcome.FAILURE, "github-77"),
]


@pytest.mark.parametrize(
    ("wanted", "place"),
    [("last", 2), ("last-green", 1), ("aaaa", 0), ("ccc", 2), ("github-7", 1), ("github-77", 2), ("aaab0000aaab", 1)],
)
def test_a_run_is_found_by_place_or_by_the_beginning_of_an_id(wanted: str, place: int) -> None:
    assert find_run(RUNS, wanted) is RUNS[place]


@pytest.mark.parametrize("wanted", ["aaa", "git", "a"])
def test_a_beginning_that_fits_several_names_them(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"OW-121: .* fits 2 runs: .*, .*give more"):
        find_run(RUNS, wanted)


@pytest.mark.parametrize("wanted", ["zzz", "", "\x1b[2J"])
def test_no_such_run_is_said_with_a_remedy_and_without_control_characters(wanted: str) -> None:
    with pytest.raises(JournalError, match="OW-204: no run") as caught:
        find_run(RUNS, wanted)
    assert str(caught.value).isprintable()


def test_an_empty_journal_has_no_last_run() -> None:
    with pytest.raises(JournalError, match="otel-workflow demo"):
        find_run([])
