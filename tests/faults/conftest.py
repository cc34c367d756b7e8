"""What the fault tests share: a receiver, a journal with fifty phases, and a line that ships it by a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import copied

PHASES = 50
SPANS = PHASES + 1  # and the run


class Clock:
    """The real monotonic clock, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Line(DirectoryShipper):
    """Ships a directory; its pauses go by a clock of the test's."""

    def __init__(self, journal: Path, endpoint: str) -> None:
        super().__init__(journal, OtlpHttpClient(Destination(f"{endpoint}/v1/traces")), "")
        self.clock = self.shipper._monotonic = Clock()
        assert self.acquire()

    def ship(self, within: float = 10.0) -> bool:
        """Try once; True when nothing waits any more."""
        done = self.shipper.drain(self.sources(), self.clock() + within, force=True)
        if done:
            self.retire()
        return done

    @property
    def pause(self) -> float:
        """How long it will not try again, in seconds."""
        return self.shipper.not_before - self.clock()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that a real process left behind, unsent."""
    journal = tmp_path_factory.mktemp("recorded") / "journal"
    with Program("steady", str(PHASES), OW_JOURNAL=str(journal)) as program:
        assert {"made": PHASES} == program.hear()
        assert 0 == program.finish().code
    return journal


@pytest.fixture
def journal(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copied(recorded, tmp_path / "copy")


@pytest.fixture
def line_to(journal: Path) -> Iterator[Callable[[str], Line]]:
    """Make a line from the journal to an endpoint."""
    made: list[Line] = []

    def make(endpoint: str) -> Line:
        made.append(Line(journal, endpoint))
        return made[-1]

    yield make
    for line in made:
        line.release()
