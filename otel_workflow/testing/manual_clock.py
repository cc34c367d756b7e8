"""A clock that moves only when it is told to."""

from __future__ import annotations

__all__ = ("ManualClock",)

_START_NS = 1_700_000_000_000_000_000


class ManualClock:
    """Starts at a fixed moment; ``advance`` moves wall and monotonic time together."""

    def __init__(self) -> None:
        self.start_ns = _START_NS
        self._elapsed = 0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed += round(seconds * 1e9)

    def now(self) -> tuple[int, int]:
        """Return (wall ns, monotonic ns)."""
        return self.start_ns + self._elapsed, self._elapsed
