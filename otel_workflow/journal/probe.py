"""Opens files of a journal as a reader may: never through a link, never a pipe, never for writing."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat

__all__ = ("lock_is_free", "open_regular")


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file for reading; raises OSError for a link, a directory or a pipe."""
    no_follow = getattr(os, "O_NOFOLLOW", 0)
    # Without O_NONBLOCK a pipe by that name would stop us until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_follow)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return io.FileIO(descriptor, "rb")


def lock_is_free(path: str | os.PathLike[str]) -> bool | None:
    """True when nobody holds the file's lock, False when somebody does, None when that cannot be told.

    Asks with a shared lock, so that readers cannot take each other for an owner. Works inside the
    owner's own process too, since ``flock`` belongs to the opening and not to the process.
    """
    try:
        with open_regular(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
    except OSError:
        return None
