from __future__ import annotations

import pytest

from otel_workflow.report.wording import cells, cut, duration, printable, short_id
from tests.report.story import Story

MS, S = 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (0, "0ms"),
        (1, "<1ms"),
        (12 * MS, "12ms"),
        (999 * MS, "999ms"),
        (999_600_000, "1.0s"),
        (3400 * MS, "3.4s"),
        (59_940 * MS, "59.9s"),
        (59_960 * MS, "1m00s"),
        (125 * S, "2m05s"),
        (3599_600 * MS, "1h00m"),
        (3780 * S, "1h03m"),
        (86_399 * S, "23h59m"),
        (2 * 86_400 * S + 3 * 3600 * S, "2d03h"),
    ],
)
def test_a_duration_is_said_in_the_unit_a_person_would_take(ns: int, said: str) -> None:
    assert duration(ns) == said


def test_printable_text_stays_as_it_is() -> None:
    assert printable("prüfen ✔ 検査") == "prüfen ✔ 検査"


def test_controls_overrides_and_surrogates_are_escaped_and_odd_spaces_are_spaces() -> None:
    assert printable("\x1b[0m\t\u202e\ud800\u00a0") == "\\x1b[0m\\t\\u202e\\ud800 "


def test_wide_and_combining_characters_are_counted_as_a_terminal_shows_them() -> None:
    assert (cells("abc"), cells("検査"), cells("e\u0301")) == (3, 4, 1)


def test_cutting_counts_columns_and_says_that_something_is_missing() -> None:
    assert cut("検査検査", 5) == "検査…"
    assert cut("short", 5) == "short"
    assert cut("anything", 2, "...") == ".."


def test_a_given_run_id_is_shown_and_a_trace_id_shortened() -> None:
    own = Story(run_id="github-1234-1")
    own.root()
    traced = Story()
    traced.root()
    assert (short_id(own.run), short_id(traced.run)) == ("github-1234-1", "4bf92f35")
