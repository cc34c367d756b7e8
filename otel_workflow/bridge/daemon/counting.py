"""The one thread that counts: takes what springs bring, commits it, and only then lets them answer.

What arrives within a few milliseconds shares one transaction, so that a disk that confirms a
hundred times a second does not limit us to a hundred requests. While the disk does not take a
commit everybody is answered *not now*, and no journal is read on: the writer keeps what it was
told and commits it later.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from otel_workflow.bridge.daemon.heard import Heard
from otel_workflow.bridge.daemon.intake import Intake
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.metrics.journals import BUCKETS, JournalSpring, bucketed
from otel_workflow.errors import StateError
from otel_workflow.guard import guarded
from otel_workflow.journal.upkeep import Upkeep

__all__ = ("Counting", "Registration", "Step", "Ticket", "no_step")

Step = Callable[[str], object]
"""Called between any two steps with the name of the one that was done; for tests that kill us there."""

_GATHER = 0.01
_MOST_WAITING = 512
MOST_READ = 2_000
"""Most records of a journal in one transaction."""
_SHORTEST, _LONGEST = 0.05, 1.0
_AFTER_FAILURE = 1.0
_UPKEEP_SECONDS = 0.25


def no_step(_name: str) -> None:
    """Go on: nobody tests."""


@dataclass(slots=True)
class Ticket:
    """One request's facts on their way to the disk; ``committed`` is None until that is decided."""

    heard: Heard
    committed: bool | None = None
    decided: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """True once the facts are on disk; False when they are not, or not in time."""
        self.decided.wait(seconds)
        return self.committed is True

    def decide(self, committed: bool) -> None:
        """Let the one who waits answer."""
        self.committed = committed
        self.decided.set()


class Registration(Protocol):
    """How a journal directory is told what the metrics do not need any more."""

    def passed(self, positions: Mapping[str, int]) -> object:
        """Take the position, by segment, up to which everything is committed and nothing is open."""
        ...


class _NotRegistered:
    """Holds nothing back: retired segments are read where they are retired to."""

    def passed(self, positions: Mapping[str, int]) -> None:
        pass


def _not_registered(_directory: Path) -> Registration:
    return _NotRegistered()


class Counting:
    """Runs the springs and the writer; ``start`` and ``stop`` from any thread, ``submit`` from all.

    ``intake`` is for the counting thread alone; others read ``trouble`` (why the last commit
    failed, or empty) and ``numbers``, and when all was well last (``turned``, monotonic seconds).
    """

    def __init__(
        self,
        writer: MetricsWriter,
        journals: Sequence[Path] = (),
        *,
        make_intake: Callable[[MetricsWriter], Intake] = Intake,
        gauges: Callable[[], Mapping[str, float]] = dict,
        register: Callable[[Path], Registration] = _not_registered,
        upkeep: Sequence[Upkeep] = (),
        run_ttl: float = 86_400.0,
        step: Step = no_step,
    ) -> None:
        self.trouble = ""
        self.turned = time.monotonic()
        self.numbers: dict[str, int] = {}
        self._writer, self._gauges, self._step = writer, gauges, step
        self._upkeep, self._run_ttl = upkeep, run_ttl
        self._waiting: deque[Ticket] = deque()
        self._bell = threading.Event()
        self._stopping = False
        self._look_at, self._pause = 0.0, _SHORTEST
        self._thread = threading.Thread(target=self._run, name="otel-workflow-counting", daemon=True)
        self.intake = make_intake(writer)
        self._directories = {f"journal {directory}": directory for directory in journals}
        self._registered = {name: register(directory) for name, directory in self._directories.items()}
        self._open_springs()

    def _open_springs(self) -> None:
        """Begin to read the journals where the committed positions say."""
        self._positions: dict[str, dict[str, int]] = {}
        self._springs: dict[str, JournalSpring] = {}
        for name, directory in self._directories.items():
            told: dict[str, int] = {}
            for number in range(BUCKETS):
                part = self._positions[f"{name} {number:02x}"] = self._writer.cursor(f"{name} {number:02x}")
                told.update(part)
            self._springs[name] = JournalSpring(directory, told, run_ttl=self._run_ttl)

    @property
    def unreadable(self) -> list[str]:
        """Why journals cannot be read, for those that cannot."""
        return [spring.trouble for spring in self._springs.values() if spring.trouble]

    def submit(self, heard: Heard) -> Ticket | None:
        """Queue what was heard; None when too much waits already."""
        if len(self._waiting) >= _MOST_WAITING or self._stopping:
            return None
        ticket = Ticket(heard)
        self._waiting.append(ticket)
        self._bell.set()
        return ticket

    def refused(self, reason: str) -> None:
        """Count a request that was not taken; from any thread."""
        self._writer.count("otel_workflow.bridge.refused", reason=reason)
        self.intake.changed = True

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Count what has arrived and what the journals hold now, then end; True when it did."""
        self._stopping = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive() and not self.trouble

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            if not self._waiting:
                self._bell.wait(max(self._look_at - time.monotonic(), 0.0))
            self._bell.clear()
            if self._waiting:
                time.sleep(_GATHER)
            guarded(0, self.turn)  # what nobody thought of costs one turn, and whoever waits for it comes again
        while guarded(0, lambda: self.turn(look=True)) >= MOST_READ and not self.trouble:
            pass
        for ticket in self._waiting:
            ticket.decide(False)

    def turn(self, *, look: bool | None = None) -> int:
        """Take, read, commit, answer: once; returns how much there was."""
        tickets = [self._waiting.popleft() for _ in range(len(self._waiting))]
        read = 0
        try:
            if self.trouble:
                self._writer.commit()
            for ticket in tickets:
                self.intake.hear(ticket.heard)
            if time.monotonic() >= self._look_at if look is None else look:
                read = self._look()
            self._commit(dirty=read > 0)
            self.trouble = ""
            self.turned = time.monotonic()
            self._say_passed()
            self._keep_up()
        except StateError as error:
            self.trouble = str(error)
            self._look_at = time.monotonic() + _AFTER_FAILURE
        except sqlite3.Error as error:  # the file cannot even be read: what was not told is told again later
            self.trouble = f"OW-143: the state cannot be read: {error}"
            self._look_at = time.monotonic() + _AFTER_FAILURE
            self._open_springs()
        self._step("answering")
        for ticket in tickets:
            ticket.decide(not self.trouble)
        return len(tickets) + read

    def _look(self) -> int:
        self._look_at = time.monotonic() + _LONGEST  # should something fail
        read = 0
        for spring in self._springs.values():
            read += spring.read(self.intake, MOST_READ)
        self.intake.close_the_lost()
        self._pause = _SHORTEST if read else min(self._pause * 2, _LONGEST)
        self._look_at = time.monotonic() + (0.0 if read else self._pause)
        return read

    def _commit(self, *, dirty: bool) -> None:
        silent = self.intake.silent()
        self.numbers = {"remote_runs": self.intake.open_runs, "silent_runs": len(silent)}
        if not (dirty or self.intake.changed or self.trouble):
            return
        self._step("told")
        for name, journal in self._springs.items():
            for number, positions in enumerate(bucketed(journal.positions())):
                spring = f"{name} {number:02x}"
                if positions != self._positions[spring]:
                    self._positions[spring] = positions
                    self._writer.set_cursor(spring, positions)
        self.intake.save()
        for name, value in {**self._gauges(), "otel_workflow.bridge.silent_runs": len(silent)}.items():
            self._writer.gauge(name, value)
        self._step("committing")
        self._writer.commit()
        self.intake.changed = False
        self._step("committed")

    def _keep_up(self) -> None:
        """Keep the directories small that nobody ships, a piece at a time."""
        for upkeep in self._upkeep:
            if upkeep.is_due():
                end = time.monotonic() + _UPKEEP_SECONDS
                upkeep.run(lambda end=end: self._stopping or time.monotonic() > end)  # type: ignore[misc]
                upkeep.went.clear()

    def _say_passed(self) -> None:
        """Let the journals' upkeep know what is committed here."""
        for name, spring in self._springs.items():
            if spring.directory.is_dir():
                self._registered[name].passed(spring.passed())
