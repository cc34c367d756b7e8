"""Frames, checksums and writes journal records: the only code that puts bytes into a segment.

Standard library only, imports nothing of this package, and keeps to the syntax of Python 3.8,
because the same file is carried into foreign interpreters. ``docs/journal-format.md`` specifies
what it writes.

A record is one ``os.write`` to a file opened with ``O_APPEND``, so a record whose write returned
survives any death of the process. There is no lock on the way: ``write`` may be called from any
thread, from a signal handler and from ``__del__``. A full segment is replaced by ``os.dup2`` onto
the same descriptor, which the kernel does atomically, so no writer can meet a closed one.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import socket
import struct
import threading
import time
import zlib

try:
    from typing import Any, Callable, Dict, Optional  # noqa: UP035
except ImportError:  # pragma: no cover
    pass

__all__ = (
    "ANCHOR",
    "END",
    "EVENT",
    "FRAME",
    "HEADER",
    "MAGIC",
    "MAX_PAYLOAD",
    "SPAN",
    "SUFFIX",
    "JournalWriter",
    "checksum",
    "frame",
    "prepare_directory",
    "process_identity",
)

MAGIC = b"OWJ\x01"
"""Three letters and the version of the frame."""
FRAME = struct.Struct("<4sBBHIII")
"""magic, type, flags, reserved, payload length, sequence, CRC-32: 20 bytes, little-endian."""

HEADER, EVENT, SPAN, ANCHOR, END = 1, 2, 3, 4, 5
"""Record types: who writes, a phase's event, a finished OTLP span, a clock anchor, a clean end."""

SUFFIX = ".owj"
MAX_PAYLOAD = 4 * 1024 * 1024
SEAL_BYTES = 8 * 1024 * 1024
SYNC_SECONDS = 0.1
TOUCH_SECONDS = 1.0


def checksum(kind: int, flags: int, length: int, sequence: int, payload: bytes) -> int:
    """Return the CRC-32 over the frame's fields and the payload."""
    fields = struct.pack("<BBII", kind, flags, length, sequence)
    return zlib.crc32(payload, zlib.crc32(fields))


def frame(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    """Return one record as it stands in a segment."""
    sequence &= 0xFFFFFFFF
    length = len(payload)
    crc = checksum(kind, flags, length, sequence, payload)
    return FRAME.pack(MAGIC, kind, flags, 0, length, sequence, crc) + payload


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def process_identity() -> Dict[str, Any]:
    """Return what another process needs to tell whether this one still lives.

    host, boot id, pid namespace, pid, and the start time in clock ticks since boot; empty strings
    and 0 where the system has no ``/proc``.
    """
    stat = _read("/proc/self/stat").rpartition(")")[2].split()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": namespace,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "start_ticks": int(stat[19]) if len(stat) > 19 else 0,
    }


def prepare_directory(path: str) -> None:
    """Create a private directory (0700) or check that an existing one can be used.

    Raises OSError for a symbolic link, for something that is no directory, for one that belongs
    to somebody else, and for one that cannot be written.
    """
    with contextlib.suppress(FileExistsError):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if (status.st_mode & 0o170000) != 0o040000:
        raise NotADirectoryError(20, "not a directory, or a symbolic link", path)
    if os.geteuid() not in (0, status.st_uid):
        raise PermissionError(13, "belongs to another user", path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "not writable", path)


class JournalWriter:
    """Writes the records of one process into segments of its own.

    ``header`` is called when a segment is opened and returns what goes into its header record
    besides the process's identity. ``sync`` is ``interval`` (fdatasync every 100 ms, in a
    thread), ``always`` (before ``write`` returns) or ``never``. A fork is noticed by itself: the
    child opens its own segment at its first write.

    ``dropped`` counts records that could not be written, by reason; writing never raises.
    """

    def __init__(
        self,
        directory: str,
        header: "Callable[[], Dict[str, Any]]",
        sync: str = "interval",
        seal_bytes: int = SEAL_BYTES,
    ) -> None:
        self.directory = directory
        self.dropped: Dict[str, int] = {}
        self.written = 0
        self.path: "Optional[str]" = None
        self._header = header
        self._sync = sync
        self._seal_bytes = seal_bytes
        self._fd = -1
        self._pid = 0
        self._size = 0
        self._open_phases = 0
        self._dirty = False
        self._closed = False
        self._thread: "Optional[threading.Thread]" = None
        self._stop = threading.Event()
        self._turn = threading.RLock()  # re-entrant: a signal handler may write while we open
        self._thread_turn = threading.Lock()
        self._sealing = False
        self._sequence = itertools.count(1)
        self._segment = 0
        self._owner = ""
        _remember(self)

    # -- writing ------------------------------------------------------------------------------

    def write(self, kind: int, payload: bytes) -> bool:
        """Append one record; True once the kernel has it, False if it was dropped (and counted)."""
        if self._pid != os.getpid():
            self._adopt_process()
        if self._fd < 0 and not self._open():
            return self._drop("closed" if self._closed else "unwritable")
        if len(payload) > MAX_PAYLOAD:
            return self._drop("too_large")
        data = frame(kind, next(self._sequence), payload)
        try:
            done = os.write(self._fd, data)
            if self._sync == "always":
                os.fdatasync(self._fd)
        except OSError as error:
            return self._drop("disk_full" if error.errno == 28 else "io_error")
        self._size += done
        if done != len(data):
            return self._drop("short_write")
        self.written += 1
        self._dirty = True
        if self._thread is None:
            self._start_thread()
        if self._size > self._seal_bytes:
            self._seal()
        return True

    def phase_opened(self) -> None:
        """Say that a phase is open, so that the segment is touched once a second."""
        self._open_phases += 1

    def phase_closed(self) -> None:
        """Say that a phase has ended."""
        self._open_phases -= 1

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        return False

    # -- segments -----------------------------------------------------------------------------

    def _adopt_process(self) -> None:
        """Forget what a parent process opened: its descriptor, its threads and its open phases."""
        if self._pid and self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd, self._size, self._thread, self._closed = -1, 0, None, False
        self._stop, self._turn = threading.Event(), threading.RLock()
        self._thread_turn, self._sealing = threading.Lock(), False
        self._sequence, self._segment = itertools.count(1), 0
        self._open_phases, self._owner = 0, ""
        self.dropped, self.written, self.path = {}, 0, None
        self._pid = os.getpid()

    def _open(self) -> bool:
        with self._turn:
            if self._closed:
                return False
            if self._fd < 0:
                try:
                    self._fd = self._new_segment()
                except OSError:
                    return False
            return True

    def _new_segment(self) -> int:
        """Create, lock and head a segment under a hidden name, then give it its name.

        A reader thus never meets a segment without its header or its lock.
        """
        prepare_directory(self.directory)
        if not self._owner:
            self._owner = "%x-%d-%s" % (time.time_ns(), self._pid, os.urandom(4).hex())
        self._segment += 1
        name = "%s-%04d%s" % (self._owner, self._segment, SUFFIX)
        hidden = os.path.join(self.directory, "." + name)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(hidden, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = dict(self._header(), **process_identity())
            header["owner"], header["segment"] = self._owner, self._segment
            payload = json.dumps(header, separators=(",", ":")).encode()
            data = frame(HEADER, next(self._sequence), payload)
            self._size = os.write(fd, data)
            self.path = os.path.join(self.directory, name)
            os.rename(hidden, self.path)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(hidden)
            raise
        return fd

    def _seal(self) -> None:
        """Replace a full segment; only one thread does it, the others go on writing."""
        if self._sealing or not self._turn.acquire(blocking=False):
            return
        self._sealing = True
        try:
            if self._closed or self._size <= self._seal_bytes:
                return
            old = self._fd
            new = self._new_segment()
            self._finish(old, "sealed")
            os.dup2(new, old, inheritable=False)
            os.close(new)
        except OSError:
            self._size = 0  # no room for a new one: go on with the old segment, try again later
        finally:
            self._sealing = False
            self._turn.release()

    def _finish(self, fd: int, reason: str) -> None:
        payload = json.dumps({"reason": reason, "dropped": self.dropped}).encode()
        with contextlib.suppress(OSError):
            os.write(fd, frame(END, next(self._sequence), payload))
            if self._sync != "never":
                os.fdatasync(fd)

    def close(self) -> None:
        """End the segment cleanly and release its lock; later writes are dropped and counted."""
        if self._pid != os.getpid():
            self._adopt_process()
        self.stop_thread()
        with self._turn:
            self._closed = True
            if self._fd >= 0:
                self._finish(self._fd, "closed")
                os.close(self._fd)
                self._fd = -1
        _forget(self)

    # -- the thread that syncs and touches ------------------------------------------------------

    def _start_thread(self) -> None:
        if self._closed or not self._thread_turn.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._stop = threading.Event()
                thread = threading.Thread(target=self._keep, name="otel-workflow-journal", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            pass  # the interpreter is shutting down: what is written is with the kernel already
        finally:
            self._thread_turn.release()

    def _keep(self) -> None:
        stop, touched = self._stop, 0.0
        while not stop.wait(SYNC_SECONDS):
            now = time.monotonic()
            with contextlib.suppress(OSError):
                if self._open_phases > 0 and now - touched >= TOUCH_SECONDS:
                    touched = now
                    os.utime(self._fd)
                if self._dirty and self._sync == "interval":
                    self._dirty = False
                    os.fdatasync(self._fd)

    def stop_thread(self) -> None:
        """Stop the thread and wait for it; it starts again at the next write."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            thread.join(1.0)
        self._thread = None

    def after_fork_in_child(self) -> None:
        """Close the parent's descriptor, or this child would keep the parent's lock alive."""
        if self._pid and self._pid != os.getpid():
            self._adopt_process()

    def after_fork_in_parent(self) -> None:
        """Start touching again if a phase is open."""
        if self._open_phases > 0:
            self._start_thread()


_writers: "list[JournalWriter]" = []
_hooked: "list[bool]" = []


def _remember(writer: JournalWriter) -> None:
    _writers.append(writer)
    if not _hooked:
        _hooked.append(True)
        os.register_at_fork(
            before=lambda: [w.stop_thread() for w in list(_writers)],
            after_in_parent=lambda: [w.after_fork_in_parent() for w in list(_writers)],
            after_in_child=lambda: [w.after_fork_in_child() for w in list(_writers)],
        )


def _forget(writer: JournalWriter) -> None:
    with contextlib.suppress(ValueError):
        _writers.remove(writer)
