"""Remembers how far a consumer has come, and lets only one shipper work at a time.

A cursor is a small JSON file beside the segments, replaced by rename. It may be lost: then the
consumer sends again, byte for byte the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

from otel_workflow.journal.probe import open_regular
from otel_workflow.journal.writer import give_to_owner_of

__all__ = ("Cursor", "DirectoryLock", "open_beside")

_LARGEST = 64 * 1024 * 1024


class Cursor:
    """A consumer's positions by segment name, and the ids it has sent beyond them."""

    def __init__(self, directory: str | os.PathLike[str], consumer: str) -> None:
        self.path = Path(directory) / f"{consumer}.cursor"

    def load(self) -> dict[str, Any]:
        """Return what was saved last, or an empty dict when there is nothing readable."""
        try:
            with open_regular(self.path) as file:
                data = json.loads(file.read(_LARGEST) or b"")
        except (OSError, ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    def save(self, data: Mapping[str, Any]) -> bool:
        """Replace the cursor; False when the disk did not take it (the old one then stays)."""
        # By thread too: two that save at once must not write into one file.
        hidden = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_ident():x}")
        try:
            with os.fdopen(open_beside(hidden, os.O_WRONLY | os.O_TRUNC), "w", encoding="ascii") as file:
                json.dump(data, file, separators=(",", ":"))
                file.flush()
                os.fdatasync(file.fileno())  # or a power cut may leave the new name on an empty file
            hidden.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)
            return False
        return True


def open_beside(path: Path, flags: int) -> int:
    """Open or create a private file of a journal directory; one that root makes is its owner's."""
    no_follow = getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | no_follow, 0o600)
    if os.geteuid() == 0:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            give_to_owner_of(directory, descriptor)
        finally:
            os.close(directory)
    return descriptor


class DirectoryLock:
    """A lock by name in a journal directory; the kernel frees it when its holder dies.

    A forked child does not hold its parent's lock. (A child of a C extension that forks without
    Python's hooks keeps it alive until it ends or executes another program.)
    """

    def __init__(self, directory: str | os.PathLike[str], name: str) -> None:
        self.path = Path(directory) / f"{name}.lock"
        self._fd = -1
        self._pid = 0

    @property
    def held(self) -> bool:
        """True while this process (not a parent that forked it) has the lock."""
        return self._fd >= 0 and self._pid == os.getpid()

    def acquire(self) -> bool:
        """Take the lock if it is free; False when another process has it or it cannot be made."""
        if self.held:
            return True
        self.release()  # what a parent held
        try:
            descriptor = open_beside(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except OSError:
            mine = False
        if not mine:  # another's; or the file was deleted meanwhile, and a lock on it excludes nobody
            os.close(descriptor)
            return False
        self._fd, self._pid = descriptor, os.getpid()
        _Held.remember(self)
        return True

    def release(self) -> None:
        """Free the lock; in a forked child only the copied descriptor is closed."""
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class _Held:
    """The locks of this process, so that a forked child can let go of its copies."""

    locks: WeakSet[DirectoryLock] | None = None

    @classmethod
    def remember(cls, lock: DirectoryLock) -> None:
        if cls.locks is None:
            cls.locks = WeakSet()
            os.register_at_fork(after_in_child=cls.release_all)
        cls.locks.add(lock)

    @classmethod
    def release_all(cls) -> None:
        for lock in tuple(cls.locks or ()):
            lock.release()
