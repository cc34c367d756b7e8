"""Remembers how far a consumer has come, and lets only one shipper work at a time.

A cursor is a small JSON file beside the segments, replaced by rename. It may be lost: then the
consumer sends again, byte for byte the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ("Cursor", "DirectoryLock")


class Cursor:
    """A consumer's positions by segment name, and the ids it has sent beyond them."""

    def __init__(self, directory: str | os.PathLike[str], consumer: str) -> None:
        self.path = Path(directory) / f"{consumer}.cursor"

    def load(self) -> dict[str, Any]:
        """Return what was saved last, or an empty dict when there is nothing readable."""
        try:
            data = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def save(self, data: Mapping[str, Any]) -> bool:
        """Replace the cursor; False when the disk did not take it (the old one then stays)."""
        hidden = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(data, file, separators=(",", ":"))
            hidden.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)
            return False
        return True


class DirectoryLock:
    """A lock by name in a journal directory; the kernel frees it when its holder dies."""

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
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._fd, self._pid = descriptor, os.getpid()
        return True

    def release(self) -> None:
        """Free the lock; in a forked child only the copied descriptor is closed."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1
