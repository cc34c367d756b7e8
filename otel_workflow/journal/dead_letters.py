"""Keeps what no backend will ever take, so that a person can look at it: one file a day in ``dead/``.

Lines of JSON, written only by whoever holds the shipper's lock. Bounded: when the directory is
full, spans are counted but no longer kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from otel_workflow.journal.probe import open_regular
from otel_workflow.journal.writer import give_to_owner_of

__all__ = ("DEAD", "MOST", "DeadLetters", "read_dead_letters")

DEAD = "dead"
MOST = 16 * 1024 * 1024
"""How many bytes of dead letters a journal directory keeps."""
_SUFFIX = ".jsonl"


class DeadLetters:
    """The dead letters of a journal directory; ``now`` is in ns since the epoch."""

    def __init__(
        self, directory: str | os.PathLike[str], most: int = MOST, now: Callable[[], int] = time.time_ns
    ) -> None:
        self.place = Path(directory) / DEAD
        self._most = most
        self._now = now

    def put(self, letter: Mapping[str, Any]) -> bool:
        """Append a letter to the file of the day, with its ``time_ns``; False when it could not be kept."""
        now = self._now()
        line = json.dumps({"time_ns": now, **letter}, separators=(",", ":")).encode() + b"\n"
        day = time.strftime("%Y-%m-%d", time.gmtime(now // 1_000_000_000))
        try:
            if self._size() + len(line) > self._most:
                return False
            descriptor = self._open(f"{day}{_SUFFIX}")
        except OSError:
            return False
        try:
            return _append(descriptor, line)
        finally:
            os.close(descriptor)

    def _size(self) -> int:
        return sum(file.stat().st_size for file in _files(self.place))

    def _open(self, name: str) -> int:
        """Open the file of the day, private, never through a link; what root makes is the directory's owner's."""
        self.place.mkdir(mode=0o700, exist_ok=True)
        no_follow = getattr(os, "O_NOFOLLOW", 0)
        folder = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | no_follow)
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | no_follow
            descriptor = os.open(name, flags, 0o600, dir_fd=folder)
            if os.geteuid() == 0:
                journal = os.open(self.place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    give_to_owner_of(journal, folder)
                    give_to_owner_of(journal, descriptor)
                finally:
                    os.close(journal)
        finally:
            os.close(folder)
        return descriptor


def _append(descriptor: int, line: bytes) -> bool:
    before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) == len(line):
            return True
    except OSError:
        pass
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, before)  # half a line would spoil the next one; nobody else writes here
    return False


def _files(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.suffix == _SUFFIX and not path.is_symlink())
    except OSError:
        return []


def read_dead_letters(directory: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the letters of a journal directory, oldest first; lines that do not parse are passed over."""
    for path in _files(Path(directory) / DEAD):
        try:
            with open_regular(path) as file:
                lines = file.read(MOST).splitlines()
        except OSError:
            continue
        for line in lines:
            with contextlib.suppress(ValueError):
                letter = json.loads(line)
                if isinstance(letter, dict):
                    yield letter
