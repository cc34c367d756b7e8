"""How long to wait before a handler is tried again."""

from __future__ import annotations

import random

__all__ = ("MAX_DELAY", "delay_before")

MAX_DELAY = 60.0


def delay_before(attempt: int, backoff: float) -> float:
    """Return the seconds to wait before this attempt (2 is the first retry).

    The wait doubles with every attempt, up to a minute, and is spread by ± 25 %, so that
    handlers which failed together for one reason do not come back together.
    """
    exponent = min(attempt - 2, 32)
    spread: float = random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
    return max(0.0, min(backoff * 2.0**exponent, MAX_DELAY) * spread)
