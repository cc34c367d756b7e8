"""The thread that ships: all directories in turn, for ever, to one destination.

A directory is shipped while we hold its lock; another process that holds it sends the same spans.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bridge.pump import Waiting
from otel_workflow.bridge.shipper import Client
from otel_workflow.bridge.shown import one_line
from otel_workflow.bridge.span_times import start_of
from otel_workflow.errors import JournalError
from otel_workflow.guard import guarded
from otel_workflow.journal.upkeep import MAX_BYTES

__all__ = ("Backlog", "Shipping")

_SHORTEST, _LONGEST = 0.05, 1.0
_TURN, _SEND_SECONDS = 5.0, 10.0
_AHEAD = 32_768
"""Spans (or KiB) of a directory that are read, and so counted as its backlog, while nothing can be sent."""
PATIENCE = 0.3
"""Longest wait without progress (s) when the daemon ends."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: spans, when the oldest of them began (ns), spans delivered, and the last success (Unix s)."""

    waiting: int = 0
    oldest_ns: int | None = None
    delivered: int = 0
    refused: int = 0
    last_success: float | None = None
    last_error: str = ""


class Shipping:
    """Ships directories until it is stopped; ``backlog`` may be asked by any thread."""

    def __init__(
        self,
        directories: Sequence[Path],
        client: Client,
        key: str,
        *,
        max_bytes: int = MAX_BYTES,
        run_ttl: float = 86_400.0,
    ) -> None:
        self._client = client
        self._lines = [
            DirectoryShipper(directory, client, key, max_bytes=max_bytes, run_ttl=run_ttl) for directory in directories
        ]
        for line in self._lines:
            line.shipper.ahead, line.shipper.turn = _AHEAD, _TURN
        self._delivered = 0
        self._last_success: float | None = None
        self._unreadable = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-workflow-shipping", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def stop(self, deadline: float) -> bool:
        """Send what is final until ``deadline`` (monotonic s), 0.3 s at most without progress; True if none waits."""
        self._stop.set()
        if not self._ended_by(deadline):
            self._client.interrupt()  # a send that hangs: what it carried waits in the journal
            return not self.backlog.waiting
        for line in self._lines:
            self._drain(line, deadline)
            line.release()
        return not self.backlog.waiting

    def _note_success(self) -> None:
        delivered = sum(line.shipper.books.delivered for line in self._lines)
        if delivered > self._delivered:
            self._delivered, self._last_success = delivered, time.time()

    def _progress(self) -> int:
        return sum(line.shipper.books.progress for line in self._lines)

    def _ended_by(self, deadline: float) -> bool:
        """Wait for the thread while it gets on; False when it hangs in an answer that does not come."""
        known, quiet = -1, 0.0
        while self._thread.ident is not None and self._thread.is_alive():
            progress = self._progress()
            if progress != known:
                known, quiet = progress, time.monotonic() + PATIENCE
            if time.monotonic() >= min(deadline, quiet):
                return False
            self._thread.join(0.02)
        return True

    def _run(self) -> None:
        pause = _SHORTEST
        while not self._stop.wait(pause):
            before = self._progress()
            for line in self._lines:
                if line.directory.is_dir() and line.acquire():
                    self._turn(line, _TURN + _SEND_SECONDS)
            self._note_success()
            pause = _SHORTEST if self._progress() > before else min(pause * 2, _LONGEST)

    def _turn(self, line: DirectoryShipper, seconds: float) -> bool:
        return guarded(False, self._ship, line, seconds)

    def _ship(self, line: DirectoryShipper, seconds: float) -> bool:
        try:
            return line.drain(seconds)
        except JournalError as error:
            self._unreadable = str(error)
            return True

    def _drain(self, line: DirectoryShipper, deadline: float) -> None:
        if not (line.directory.is_dir() and line.acquire()):
            return
        quiet = time.monotonic() + PATIENCE
        while time.monotonic() < min(deadline, quiet):
            before = line.shipper.books.progress
            if self._turn(line, min(deadline, quiet) - time.monotonic()):
                return
            if line.shipper.books.progress > before:
                quiet = time.monotonic() + PATIENCE
            time.sleep(0.02)

    @property
    def backlog(self) -> Backlog:
        """How it stands."""
        books = [line.shipper.books for line in self._lines]
        self._note_success()
        waiting = [line.pump.waiting for line in self._lines]
        oldest = min((start_of(span) or time.time_ns() for span in map(_first, waiting) if span), default=None)
        return Backlog(
            sum(map(len, waiting)),
            oldest,
            self._delivered,
            sum(each.refused for each in books),
            self._last_success,
            next(filter(None, (_trouble(each.last) for each in books)), self._unreadable),
        )


def _trouble(answer: Answer | None) -> str:
    """Say what a backend's last answer was, if it was none to be glad of."""
    if answer is None or answer.kind == "accepted":
        return ""
    return one_line(f"{answer.status or ''} {answer.message or answer.kind}".strip())


def _first(waiting: Sequence[Waiting]) -> bytes:
    """Return the span that has waited longest; another thread may have taken it meanwhile."""
    try:
        return waiting[0].span
    except IndexError:
        return b""
