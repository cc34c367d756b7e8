"""Keeps a journal directory small and whole: in turn, by whoever comes by, under a lock of its own.

Whoever ships keeps the lock for as long as it ships; otherwise a recording process looks after
the directory it writes to, from its sync thread. Each run is due once a minute per directory,
whichever process comes; a run with more to do than one pack goes on at the next call.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from otel_workflow.guard import guarded
from otel_workflow.journal.bound import enforce
from otel_workflow.journal.compaction import compact, finish
from otel_workflow.journal.cursor import DirectoryLock
from otel_workflow.journal.ledger import Ledger
from otel_workflow.journal.retention import clear_leftovers, delete_old, set_aside
from otel_workflow.journal.writer import RETIRED

__all__ = ("MAX_BYTES", "Upkeep", "keeper")

MAX_BYTES = 512 * 1024 * 1024
"""How large a directory may become where nothing else is set."""
_EVERY = 60.0


def _never() -> bool:
    return False


def keeper(directory: str, max_bytes: int) -> Callable[[Callable[[], bool], bool], None]:
    """Return what a writer calls now and then: upkeep when it is due, or at once when a segment was sealed."""
    upkeep = Upkeep(directory, max_bytes)

    def keep(stop: Callable[[], bool], sealed: bool) -> None:
        if sealed or guarded(False, upkeep.is_due):
            guarded(False, upkeep.run, stop)
        upkeep.went.clear()

    return keep


class Upkeep:
    """The upkeep of one directory; ``max_bytes`` is its bound.

    Nothing raises: what a disk refuses is tried again at the next run. ``went`` names the segments
    that were dropped because of the bound, each with the ends of its records that were kept.
    """

    def __init__(self, directory: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> None:
        self.directory = Path(directory)
        self.max_bytes = max_bytes
        self.lock = DirectoryLock(directory, "upkeep")
        self.went: dict[str, set[int]] = {}

    def is_due(self, every: float = _EVERY) -> bool:
        """True when no process has done this for ``every`` seconds, or one was killed over it; costs a ``stat``."""
        try:
            age = time.time() - (self.directory / "upkeep.done").stat().st_mtime
        except OSError:
            return self.directory.is_dir()
        return not 0 <= age < every

    def run(
        self, stop: Callable[[], bool] = _never, *, strangers: Iterable[str] = (), now_ns: int | None = None
    ) -> bool:
        """Do everything once, if nobody else does; True when there is more to do.

        ``stop`` is asked between files and ends the run early. ``strangers`` are the files that a
        reader has quarantined, to be set aside.
        """
        held = self.lock.held
        if not held and not self.lock.acquire():
            return False
        try:
            more = self._run(stop, tuple(strangers), time.time_ns() if now_ns is None else now_ns)
            if not more:
                with contextlib.suppress(OSError):
                    (self.directory / "upkeep.done").touch(mode=0o600)
        finally:
            if not held:
                self.lock.release()
        return more

    def _run(self, stop: Callable[[], bool], strangers: tuple[str, ...], now_ns: int) -> bool:
        places = [place for place in (self.directory, self.directory / RETIRED) if place.is_dir()]
        ledger = Ledger(self.directory)
        ledger.settle()
        for place in places:
            with contextlib.suppress(OSError):  # what the disk refuses costs one step; the next run tries again
                finish(place)
            with contextlib.suppress(OSError):
                if compact(place, stop):
                    return True  # first of all, since it makes the rest cheap
        clear_leftovers(self.directory, now_ns)
        delete_old(self.directory, now_ns)
        set_aside(self.directory, strangers, now_ns)
        with contextlib.suppress(OSError):
            self.went.update(enforce(self.directory, self.max_bytes, ledger, stop))
        return stop()
