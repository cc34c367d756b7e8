"""Remembers how each test of a run ended, so that a page can be made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

__all__ = ("read_results",)

OPTION = "--results"
_RANK = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file that the results go to."""
    parser.addoption(OPTION, metavar="FILE", help="write how each test ended, as JSON, for docs/reliability.md")


def pytest_configure(config: pytest.Config) -> None:
    """Listen, if a file was given."""
    if config.getoption(OPTION):
        config.pluginmanager.register(_Listener(Path(config.getoption(OPTION))))


class _Listener:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.ends: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the worst end of a test's parts and parameters."""
        name = report.nodeid.partition("[")[0].removeprefix("tests/")
        if report.when == "call" or report.outcome != "passed":
            self.ends[name] = max(self.ends.get(name, "passed"), report.outcome, key=_RANK.index)

    def pytest_sessionfinish(self) -> None:
        """Write them down."""
        self.path.write_text(json.dumps(self.ends, indent=0, sort_keys=True))


def read_results(paths: Iterable[Path]) -> dict[str, str]:
    """Return the ends by ``file::name``; of several files the later one says it last."""
    ends: dict[str, str] = {}
    for path in paths:
        ends.update(json.loads(path.read_text()))
    return ends
