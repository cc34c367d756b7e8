"""Makes ``docs/reliability.md`` from the matrix and the results of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.reliability.limits import LIMITS
from tests.reliability.matrix import MATRIX
from tests.reliability.row import Row

__all__ = ("page",)

_HEAD = """# What is promised when things fail

Made from the test results by `make reliability`; a test fails when a row or a test's name here is not the code's.

Promise: nothing is lost after the journal's write returns; delivery is at least once; duplicates are byte-identical.
The books of every process balance: emitted = delivered + spooled + dropped, by reason.
"""


def page(results: Mapping[str, str]) -> str:
    """Return the page; a test that did not run is said to be ``not run``."""
    return "\n".join([_HEAD, "## Limits\n", LIMITS, *_sections(results)])


def _sections(results: Mapping[str, str]) -> Iterator[str]:
    for title, rows in MATRIX.items():
        yield f"## {title}\n"
        yield "| when | then | test | result |"
        yield "|---|---|---|---|"
        yield from (_line(row, results) for row in rows)
        yield ""


def _line(row: Row, results: Mapping[str, str]) -> str:
    if not row.tests:
        return f"| {row.fault} | {row.expected} | none: {row.why_not} | |"
    names = "<br>".join(f"`{test}`" for test in row.tests)
    ends = "<br>".join(results.get(test, "not run") for test in row.tests)
    more = f"<br>not shown: {row.why_not}" if row.why_not else ""
    return f"| {row.fault} | {row.expected} | {names}{more} | {ends} |"
