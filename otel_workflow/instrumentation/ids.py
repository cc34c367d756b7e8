"""Random ids that no two processes share and no ``random.seed()`` of user code repeats."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

__all__ = ("RandomIds",)


class RandomIds:
    """Gives 64-bit span ids and 128-bit trace ids; a forked child draws from its own source."""

    __slots__ = ("_pid", "_random")

    def __init__(self) -> None:
        self._pid = 0
        self._random = Random()  # noqa: S311 - ids need to be unique, not secret

    def _begin_anew(self) -> None:
        self._random = Random(int.from_bytes(os.urandom(32), "big"))  # noqa: S311
        self._pid = os.getpid()

    @property
    def draw(self) -> Callable[[int], int]:
        """What gives random bits in this process; not to be used in a child that it forks."""
        if self._pid != os.getpid():
            self._begin_anew()
        return self._random.getrandbits

    def span_id(self) -> int:
        """Return a span id that is not 0."""
        return self.draw(64) or 1

    def trace_id(self) -> int:
        """Return a trace id that is not 0."""
        return self.draw(128) or 1
