"""What was dropped from a journal directory, by reason: durable, and exact through a crash.

Before a file is deleted its records are written down as *leaving*; the file's absence then says
that they have left. So a kill between any two steps counts nothing twice and forgets nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_workflow.journal.cursor import Cursor
from otel_workflow.journal.writer import RETIRED

__all__ = ("FULL", "Ledger")

FULL = "journal_full"
"""The reason of records that went because the directory was larger than its bound."""


class Ledger:
    """The books of a directory's upkeep, in ``upkeep.json``; written only under its lock."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._file = Cursor(directory, "upkeep")
        self._file.path = self.directory / "upkeep.json"
        self._data = self._file.load()

    @property
    def dropped(self) -> dict[str, int]:
        """Records that left without having been sent, by reason."""
        total = _counts(self._data.get("dropped"))
        for name, reasons in _mapping(self._data.get("leaving")).items():
            if not self._is_here(name):
                for reason, count in _counts(reasons).items():
                    total[reason] = total.get(reason, 0) + count
        return total

    def leaving(self, name: str, count: int, reason: str = FULL) -> bool:
        """Write down what goes with a file that is about to be deleted; False when that failed: then keep it."""
        settled = {**self._data, "dropped": self.dropped, "leaving": {name: {reason: count}}}
        if not self._file.save(settled):
            return False
        self._data = settled
        return True

    def settle(self) -> None:
        """Count for good what has left, before anybody else may move files by these names."""
        if self._data.get("leaving"):
            settled = {**self._data, "dropped": self.dropped, "leaving": {}}
            if self._file.save(settled):
                self._data = settled

    def may_warn(self, every: float = 60.0) -> bool:
        """True once per interval (seconds), whichever process asks."""
        now, last = time.time(), self._data.get("warned", 0.0)
        if isinstance(last, int | float) and 0 <= now - last < every:
            return False
        self._data = {**self._data, "warned": now}
        self._file.save(self._data)
        return True

    def _is_here(self, name: str) -> bool:
        return any((place / name).exists() for place in (self.directory, self.directory / RETIRED))


def _mapping(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}


def _counts(said: Any) -> dict[str, int]:
    return {str(reason): count for reason, count in _mapping(said).items() if isinstance(count, int) and count > 0}
