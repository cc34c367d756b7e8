"""Who reads a journal directory, and what all of them have passed.

A consumer registers by the file ``<name>.cursor`` and writes there how far it has come, by
segment. A segment is out of the way only when every registered consumer has passed it. One whose
cursor was not written for a week has vanished, and holds nothing back any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from otel_workflow.journal.cursor import Cursor

__all__ = ("CONSUMERS", "VANISHED_NS", "Consumer", "Consumers")

CONSUMERS = ("traces", "metrics", "history")
VANISHED_NS = 7 * 86_400_000_000_000
_RENEW_NS = 3_600_000_000_000


class Consumer:
    """One consumer's registration; ``traces`` keeps its own, under its lock.

    Call ``passed`` whenever positions have become durable elsewhere, and now and then when
    nothing moves: it writes when something changed or an hour has gone by.
    """

    def __init__(self, directory: str | os.PathLike[str], name: str) -> None:
        self.cursor = Cursor(directory, name)
        self._saved: dict[str, int] | None = None
        self._saved_ns = 0

    def register(self) -> bool:
        """Hold back what comes from now on, and what is there; False when the disk did not take it."""
        return self.cursor.path.exists() or self.cursor.save({"acknowledged": {}})

    def passed(self, positions: Mapping[str, int]) -> bool:
        """Say up to which position (a record's ``end``) each segment is not needed any more.

        Segments that are not named are held back. A segment whose phases are still open is to be
        named only when they are kept elsewhere.
        """
        now = time.time_ns()
        if positions == self._saved and now - self._saved_ns < _RENEW_NS:
            return True
        if not self.cursor.save({"acknowledged": dict(positions)}):
            return False
        self._saved, self._saved_ns = dict(positions), now
        return True

    def unregister(self) -> None:
        """Hold nothing back any more."""
        self.cursor.path.unlink(missing_ok=True)


class Consumers:
    """All consumers of a directory but the one that asks, as they are registered."""

    def __init__(self, directory: str | os.PathLike[str], me: str = "") -> None:
        self._cursors = {name: Cursor(directory, name) for name in CONSUMERS if name != me}
        self._states: dict[str, tuple[int, int]] = {}
        self._positions: dict[str, Mapping[str, int]] = {}
        self.version = 0
        """Grows whenever a look finds that somebody has moved, come or gone."""

    def look(self, now_ns: int | None = None) -> None:
        """Read what has changed since the last look."""
        now = time.time_ns() if now_ns is None else now_ns
        for name, cursor in self._cursors.items():
            state = _state(cursor.path)
            if state is None or now - state[0] > VANISHED_NS:
                self.version += self._states.pop(name, None) is not None
                self._positions.pop(name, None)
            elif state != self._states.get(name):
                self._states[name] = state
                self._positions[name] = _positions(cursor)
                self.version += 1

    @property
    def registered(self) -> list[str]:
        """Who is registered and has not vanished, as of the last look."""
        return list(self._positions)

    def have_passed(self, segment: str, end: int) -> bool:
        """True when nobody needs a segment any more whose last record ends at ``end``; 0: it has none."""
        return all(positions.get(segment, 0) >= end for positions in self._positions.values())


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _positions(cursor: Cursor) -> dict[str, int]:
    said = cursor.load().get("acknowledged")
    return {str(k): v for k, v in said.items() if isinstance(v, int)} if isinstance(said, dict) else {}
