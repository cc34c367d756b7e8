"""Random ids that no two processes share and no ``random.seed()`` of user code repeats."""

from __future__ import annotations

import os
from random import Random

__all__ = ("RandomIds",)


class RandomIds:
    """Gives 64-bit span ids and 128-bit trace ids; a forked child draws from its own source."""

    __slots__ = ("_pid", "_random")

    def __init__(self) -> None:
        self._pid = 0
        self._random = Random()  # noqa: S311 - ids need to be unique, not secret

    def _bits(self, count: int) -> int:
        if self._pid != os.getpid():
            self._random = Random(int.from_bytes(os.urandom(32), "big"))  # noqa: S311
            self._pid = os.getpid()
        return self._random.getrandbits(count) or 1

    def span_id(self) -> int:
        """Return a span id that is not 0."""
        return self._bits(64)

    def trace_id(self) -> int:
        """Return a trace id that is not 0."""
        return self._bits(128)
