"""The page says of every row which test shows it; no row may name a test that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.reliability.__main__ import PAGE
from tests.reliability.matrix import MATRIX
from tests.reliability.page import page
from tests.reliability.row import Row

TESTS = Path(__file__).parents[1]
ROWS = [row for rows in MATRIX.values() for row in rows]


def _names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _unknown(row: Row) -> list[str]:
    places = [test.partition("::") for test in row.tests]
    return [
        f"{place}::{name}"
        for place, _, name in places
        if not (TESTS / place).is_file() or name not in _names(TESTS / place)
    ]


def _without_results(text: str) -> str:
    return re.sub(r"\b(passed|failed|skipped|not run)\b", "-", text)


def test_every_row_has_a_test_or_a_reason_why_not() -> None:
    assert [] == [row.fault for row in ROWS if not row.tests and not row.why_not]


def test_every_test_that_a_row_names_is_there() -> None:
    assert [] == [name for row in ROWS for name in _unknown(row)]


def test_the_committed_page_is_made_of_these_rows() -> None:
    made = page(dict.fromkeys((test for row in ROWS for test in row.tests), "passed"))

    assert _without_results(made) == _without_results(PAGE.read_text())


def test_nothing_on_the_committed_page_failed_or_was_left_out() -> None:
    assert [] == [line for line in PAGE.read_text().splitlines() if re.search(r"\b(failed|not run) *(<br>|\|$)", line)]
