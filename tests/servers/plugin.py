"""The pytest side: fixtures that hand out real servers, and lines that say how they were had."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.servers.build import built
from tests.servers.jaeger import VERSION, Jaeger, NoJaeger
from tests.servers.jaeger_ways import find_jaeger
from tests.servers.unavailable import Unavailable


class Servers:
    """The servers of one test session: started when first asked for, stopped at its end."""

    def __init__(self) -> None:
        self._jaeger: Jaeger | NoJaeger | None = None
        self._absent: dict[str, str] = {}

    def jaeger(self) -> Jaeger | NoJaeger:
        """The session's Jaeger, started by the first call."""
        if self._jaeger is None:
            self._jaeger = find_jaeger()
        return self._jaeger

    def stop(self) -> None:
        """Stop what was started here."""
        if isinstance(self._jaeger, Jaeger):
            self._jaeger.stop()

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Skip the test for want of a server; in CI, where nothing may go untested, fail it."""
        self._absent[name] = reason
        verdict = pytest.fail if _in_ci() else pytest.skip
        verdict(f"{name}: absent: {reason}")

    def lines(self) -> list[str]:
        """What to tell the reader: how Jaeger was had, and every server that was wanted in vain."""
        found = [f"{name}: absent: {reason}" for name, reason in self._absent.items()]
        if isinstance(self._jaeger, Jaeger):
            found.insert(0, f"jaeger: {self._jaeger.how}{self._version()}")
        return found

    def _version(self) -> str:
        # Of a Jaeger that somebody else runs we do not know it.
        assert self._jaeger is not None
        return "" if self._jaeger.how == "endpoint given" else f" ({VERSION})"


_SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    """Have one `Servers` for the session."""
    config.stash[_SERVERS] = Servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers after everything else, also when the session was interrupted."""
    config.stash[_SERVERS].stop()


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Say in the head of the output which Jaeger the tests talk to, if one of them wants it.

    The header proper comes before collection, when nobody knows yet whether a
    Jaeger is needed; starting one for a run of pure tests would cost seconds.
    """
    wanted = any("jaeger" in getattr(item, "fixturenames", ()) for item in items)
    if not wanted or config.option.collectonly:
        return []
    jaeger = config.stash[_SERVERS].jaeger()
    if isinstance(jaeger, NoJaeger):
        return [f"jaeger: {jaeger.how}"]
    earlier = [f"  passed over: {' '.join(reason.split())}" for reason in jaeger.passed_over]
    return [*config.stash[_SERVERS].lines(), *earlier]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it again at the end, where a skipped server would otherwise be overlooked."""
    for line in config.stash[_SERVERS].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def jaeger(pytestconfig: pytest.Config) -> Jaeger:
    """A real Jaeger, shared by the whole session: search it by ids of your own."""
    servers = pytestconfig.stash[_SERVERS]
    found = servers.jaeger()
    if isinstance(found, NoJaeger):
        servers.refuse("jaeger", found.reason)
    return found


@pytest.fixture(scope="session")
def server_binary(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Give the binary of a server by its name; the test is skipped if it has not been built."""

    def binary(name: str) -> Path:
        try:
            return built(name)
        except Unavailable as reason:
            pytestconfig.stash[_SERVERS].refuse(name, str(reason))

    return binary


def refuse(config: pytest.Config, name: str, reason: str) -> NoReturn:
    """Skip a test for want of something that is no server of the session; in CI it fails."""
    config.stash[_SERVERS].refuse(name, reason)


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
