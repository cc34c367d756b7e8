"""What the end-to-end tests show at the end of the run."""

from __future__ import annotations

import pytest

TABLE = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Have a place for the lines of the table."""
    config.stash.setdefault(TABLE, [])


@pytest.fixture
def table(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are shown in the terminal's summary."""
    return pytestconfig.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table of deaths."""
    lines = config.stash.get(TABLE, [])
    if lines:
        terminalreporter.section("end to end")
        for line in lines:
            terminalreporter.write_line(line)
