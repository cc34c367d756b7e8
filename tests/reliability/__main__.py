"""``python -m tests.reliability RESULTS...``: write ``docs/reliability.md`` from the results of a run.

With ``--names`` it prints the tests that the page needs, one a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.reliability.matrix import MATRIX
from tests.reliability.page import page
from tests.reliability.results import read_results

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main(arguments: list[str]) -> int:
    """Write the page; exit code 1 when a row's test failed or did not run."""
    names = sorted({test for rows in MATRIX.values() for row in rows for test in row.tests})
    if arguments == ["--names"]:
        print(*(f"tests/{name}" for name in names), sep="\n")
        return 0
    if not arguments:
        print("name the file that pytest --results wrote", file=sys.stderr)
        return 2
    results = read_results(Path(name) for name in arguments)
    PAGE.write_text(page(results))
    bad = [name for name in names if results.get(name) != "passed"]
    print(f"written: {PAGE.name}", *(f"not passed: {name}" for name in bad), sep="\n", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
