"""What both buses keep, and the table at the end of the run."""

from __future__ import annotations

import sys

import pytest

from tests.conformance.environment import Environment
from tests.conformance.running import REASONS, Verdicts, environment_or_skip, verdicts_of

TABLE = pytest.StashKey[list[tuple[str, str, str]]]()


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    """The environment with the original in it."""
    return environment_or_skip(pytestconfig)


@pytest.fixture(scope="session")
def ours() -> Verdicts:
    """What our bus keeps."""
    return verdicts_of(sys.executable, "ours")


@pytest.fixture(scope="session")
def original(environment: Environment) -> Verdicts:
    """What the original keeps."""
    return verdicts_of(environment.python, "original", environment.site("0.46.4"))


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config, ours: Verdicts, original: Verdicts) -> list[tuple[str, str, str]]:
    """Promise, original, ours: one row each, shown at the end of the run."""
    rows = [(words, original[name][1] or "kept", wrong or "kept") for name, (words, wrong) in ours.items()]
    pytestconfig.stash[TABLE] = rows
    return rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table, or why there is none."""
    rows = config.stash.get(TABLE, [])
    if rows:
        terminalreporter.section("conformance: promise | original 0.46.4 | ours")
        left = max(len(row[0]) for row in rows)
        middle = max(len(_cell(row[1])) for row in rows)
        for promise, theirs, mine in rows:
            terminalreporter.write_line(f"{promise:<{left}} | {_cell(theirs):<{middle}} | {_cell(mine)}")
    for reason in config.stash.get(REASONS, []):
        terminalreporter.write_line(f"conformance: the original was not run: {reason}")


def _cell(verdict: str) -> str:
    return verdict if verdict == "kept" else f"broken: {verdict}"
