from __future__ import annotations

import io

import pytest

from otel_workflow.report import Style


class Screen(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8", *, tty: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize(
    ("environ", "tty", "colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
    ],
)
def test_colour_follows_what_the_user_set_then_the_terminal(
    environ: dict[str, str], *, tty: bool, colour: bool
) -> None:
    assert Style.of(Screen(tty=tty), environ).colour is colour


@pytest.mark.parametrize(
    ("environ", "encoding", "marks"),
    [
        ({}, "utf-8", True),
        ({"LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LANG": "C"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, "utf-8", False),
        ({}, "ascii", False),
        ({}, "latin-1", False),
    ],
)
def test_ascii_marks_where_encoding_or_locale_cannot_show_the_others(
    environ: dict[str, str], encoding: str, *, marks: bool
) -> None:
    assert Style.of(Screen(encoding), environ).unicode is marks
