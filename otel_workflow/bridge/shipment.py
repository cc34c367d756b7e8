"""The books of a shipper: of this process, and together with what earlier ones have saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from otel_workflow.bridge.answer import Answer

__all__ = ("Shipment", "words_of")

_REASONS = 32
_OTHER = "other reasons"
_COUNTS = ("delivered", "trimmed", "dead", "dead_not_kept")


@dataclass(slots=True)
class Shipment:
    """How many spans went where; ``last`` is the last answer.

    ``refused`` counts what a backend will never take, by ``reasons``; of these ``dead`` were kept
    as dead letters and ``dead_not_kept`` were not, for want of room or of a directory. ``progress``
    moves whenever the network does anything useful. Times are in ns since the epoch.
    """

    delivered: int = 0
    refused: int = 0
    trimmed: int = 0
    dead: int = 0
    dead_not_kept: int = 0
    progress: int = 0
    failures: int = 0
    last: Answer | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    last_success: int | None = None
    last_error: tuple[int, str] | None = None
    _before: dict[str, Any] = field(default_factory=dict)

    def refuse(self, count: int, reason: str) -> None:
        """Count spans that a backend will never take; reasons beyond 32 are counted together."""
        self.refused += count
        if reason not in self.reasons and len(self.reasons) >= _REASONS:
            reason = _OTHER
        self.reasons[reason] = self.reasons.get(reason, 0) + count

    def fail(self, answer: Answer, now: int) -> None:
        """Note an answer after which everything waits; the time kept is that of the first such answer."""
        self.failures += 1
        said = words_of(answer)
        if self.last_error is None or self.last_error[1] != said or self.last_error[0] < (self.last_success or 0):
            self.last_error = now, said

    def load(self, saved: object) -> None:
        """Continue from what an earlier shipper has saved."""
        if not isinstance(saved, Mapping):
            return
        self._before = dict(saved)
        success, error = saved.get("last_success"), saved.get("last_error")
        self.last_success = success if isinstance(success, int) else None
        if isinstance(error, list) and len(error) == 2 and isinstance(error[0], int):
            self.last_error = error[0], str(error[1])

    def totals(self) -> dict[str, Any]:
        """Return the books since the directory's first shipper, as plain data for the cursor file."""
        made: dict[str, Any] = {name: getattr(self, name) + _count(self._before.get(name)) for name in _COUNTS}
        before = self._before.get("refused")
        refused = {str(k): _count(v) for k, v in before.items()} if isinstance(before, Mapping) else {}
        for reason, count in self.reasons.items():
            known = reason if reason in refused or len(refused) < _REASONS else _OTHER
            refused[known] = refused.get(known, 0) + count
        made["refused"] = refused
        made["last_success"] = self.last_success
        made["last_error"] = list(self.last_error) if self.last_error else None
        return made


def words_of(answer: Answer) -> str:
    """Return an answer as one line for people: its status, if there was one, and what was said."""
    return f"{answer.status or ''} {answer.message}".strip() or answer.kind


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
