"""What was counted already: one key for each run or phase, with the states it was seen in."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ("BEGAN", "FINISHED", "INFERRED", "LATE", "QUEUED", "Ledger", "key_of")

BEGAN = 1
FINISHED = 2
QUEUED = 4
INFERRED = 8
"""Its end was inferred from a death, so a real one may follow."""
LATE = 16
"""It did, and was counted as a late verdict."""

_RECENT = 20_000


def key_of(trace_id: str, span_id: str) -> bytes:
    """Return the key of a run or phase; 24 bytes for ids that are hex, as they should be."""
    try:
        return bytes.fromhex(trace_id + span_id)
    except ValueError:
        return f"{trace_id}:{span_id}".encode(errors="backslashreplace")


class Ledger:
    """The states by key: on disk, with the latest in memory, and those that wait for the disk."""

    def __init__(self, on_disk: Callable[[bytes], int]) -> None:
        self._on_disk = on_disk
        self._changed: dict[bytes, tuple[int, int]] = {}
        self._recent: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}

    def states(self, key: bytes) -> int:
        """Return the states that were seen, 0 for none."""
        changed = self._changed.get(key)
        if changed is not None:
            return changed[0]
        for known in (self._recent, self._older):
            if key in known:
                return known[key]
        return self._on_disk(key)

    def enter(self, key: bytes, states: int, keep_hour: int) -> None:
        """Set the states of a key, to be remembered until that hour since the epoch."""
        self._changed[key] = states, keep_hour

    def rows(self) -> list[tuple[bytes, int, int]]:
        """Return what changed as rows."""
        return [(key, states, hour) for key, (states, hour) in self._changed.items()]

    def settle(self) -> None:
        """Take note that the disk has all of it."""
        if len(self._recent) >= _RECENT:  # forgotten by halves: no order has to be kept
            self._older, self._recent = self._recent, {}
        for key, (states, _) in self._changed.items():
            self._recent[key] = states
        self._changed.clear()
