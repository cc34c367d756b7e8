"""Frames, checksums and writes journal records: the only code that puts bytes into a segment.

Standard library only, imports nothing of this package, and keeps to the syntax of Python 3.8, because the same
file is carried into foreign interpreters. ``docs/journal-format.md`` specifies what it writes.

A record is one ``os.write`` to a file opened with ``O_APPEND``, so a record whose write returned
survives any death of the process. ``write`` may be called from any thread, from a signal handler
and from ``__del__``: it waits for no lock but the re-entrant one that opens the first segment.

A descriptor never changes hands under a writer. A full segment is replaced by ``os.dup2`` onto
the same number, which the kernel does atomically; at the end, and in a forked child, the number
is pointed at something that cannot be written, and closed when the last thread that may still
write to it has let go. So no record can land in a file that somebody else has opened meanwhile.
"""

from __future__ import annotations

import _thread
import collections
import contextlib
import errno
import fcntl
import itertools
import json
import os
import stat
import struct
import threading
import time
import zlib
from typing import Any, Callable, Dict, List, Optional, Tuple

__all__ = (
    "ANCHOR",
    "END",
    "EVENT",
    "FIELDS",
    "FRAME",
    "HEADER",
    "MAGIC",
    "MAX_PAYLOAD",
    "RETIRED",
    "SPAN",
    "SUFFIX",
    "JournalWriter",
    "checksum",
    "frame",
    "give_to_owner_of",
    "open_directory",
    "prepare_directory",
    "process_identity",
    "segment_name",
)

MAGIC = b"OWJ\x01"
"""Three letters and the version of the frame."""
FRAME = struct.Struct("<4sBBHIII")
"""magic, type, flags, reserved, payload length, sequence, CRC-32: 20 bytes, little-endian."""

FIELDS = struct.Struct("<4sBBHII")
"""The frame without its checksum: what the checksum is taken over, before the payload."""

HEADER, EVENT, SPAN, ANCHOR, END = 1, 2, 3, 4, 5
"""Record types: who writes, a phase's event, a finished OTLP span, a clock anchor, a clean end."""

SUFFIX = ".owj"
RETIRED = "retired"
"""The sub-directory into which segments go that hold nothing more to send."""
MAX_PAYLOAD = 4 * 1024 * 1024
SEAL_BYTES = 8 * 1024 * 1024
SYNC_SECONDS = 0.1
TOUCH_SECONDS = 1.0
_PATIENCE = 1.0
_CRC = struct.Struct("<I")
_crc32 = zlib.crc32
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def checksum(fields: bytes, payload: bytes) -> int:
    """Return the CRC-32 over the first 16 bytes of a frame, as they stand there, and its payload."""
    return _crc32(payload, _crc32(fields))


def frame(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    """Return one record as it stands in a segment."""
    fields = FIELDS.pack(MAGIC, kind, flags, 0, len(payload), sequence & 0xFFFFFFFF)
    return b"".join((fields, _CRC.pack(_crc32(payload, _crc32(fields))), payload))


def segment_name(owner: str, number: int) -> str:
    """Return the file name of a process's n-th segment; by name is by age."""
    return "%s-%06d%s" % (owner, number, SUFFIX)


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
    fields = _read("/proc/self/stat").rpartition(")")[2].split()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "host": os.uname().nodename,
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": namespace,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "start_ticks": int(fields[19]) if len(fields) > 19 else 0,
    }


def give_to_owner_of(directory: int, descriptor: int) -> None:
    """Give a new file to its directory's owner when root made it: ``sudo`` inside a job."""
    if os.geteuid() == 0:
        status = os.fstat(directory)
        if status.st_uid != 0:
            with contextlib.suppress(OSError):
                os.fchown(descriptor, status.st_uid, status.st_gid)


def open_directory(path: str) -> int:
    """Create a private directory (0700) if there is none, and return a descriptor of it.

    Everything that follows goes through the descriptor, so that nobody can exchange the directory
    after it was judged. Raises OSError for a symbolic link, for something that is no directory,
    and for one that belongs to another user (root may use anybody's).
    """
    path = os.path.abspath(path)
    if not os.path.lexists(path):
        parent = os.path.dirname(path)
        os.makedirs(parent, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            if os.geteuid() == 0:  # with sudo inside a job: whose it was before, it stays
                os.chown(path, os.stat(parent).st_uid, os.stat(parent).st_gid, follow_symlinks=False)
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory, or a symbolic link", path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | _NO_FOLLOW)
    try:
        theirs = os.geteuid() not in (0, os.fstat(descriptor).st_uid)
    except OSError:
        theirs = True
    if theirs:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "belongs to another user", path)
    return descriptor


def prepare_directory(path: str) -> None:
    """Create a private directory (0700) or check that an existing one can be used.

    Raises OSError for a symbolic link, for something that is no directory, for one that belongs
    to somebody else, and for one that cannot be written.
    """
    descriptor = open_directory(path)
    try:
        # By the effective user, as the kernel will judge us; also says no to a read-only file system.
        effective = os.access in os.supports_effective_ids
        if not os.access(path, os.W_OK | os.X_OK, effective_ids=effective):
            raise PermissionError(errno.EACCES, "not writable", path)
    finally:
        os.close(descriptor)


class _Descriptor:
    """A descriptor whose number stays taken for as long as anybody may write to it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def blank(self) -> None:
        """Let go of the file, and with it of its lock; whoever still writes gets EBADF."""
        try:
            nothing = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no descriptor is left for this: then the number itself has to go
            self.__del__()
            return
        try:
            os.dup2(nothing, self.fd, inheritable=False)
        except OSError:
            self.__del__()
        finally:
            os.close(nothing)

    def __del__(self) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1  # an interrupt may have come before there was one
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class _Process:
    """What belongs to one process and does not pass to a child that it forks.

    The counts are changed without a lock; CPython 3.10 and later does not interrupt ``+=``.
    """

    def __init__(self, pid: int, closed: bool = False, may_start_threads: bool = True) -> None:
        self.pid, self.closed, self.may_start_threads = pid, closed, may_start_threads
        self.descriptor: "Optional[_Descriptor]" = None
        self.path: "Optional[str]" = None
        self.owner = "%x-%d-%s" % (time.time_ns(), pid, os.urandom(4).hex())
        self.number = self.size = self.written = self.open_phases = 0
        self.dropped: "Dict[str, int]" = collections.defaultdict(int)
        self.dirty = self.sealing = False
        self.sequence = itertools.count(1)
        self.turn = threading.RLock()  # re-entrant: a signal handler may write while we open
        self.starting = _thread.allocate_lock()
        self.bells: "List[Tuple[Any, Any]]" = []  # of the thread, if one runs: to stop it, and to see it gone

    def take(self, fd: int, size: int, path: str) -> None:
        """Write to this segment from now on."""
        if self.descriptor is None:
            self.descriptor, self.size, self.path = _Descriptor(fd), size, path
        else:  # a signal handler came while we opened this one, and has opened another
            os.close(fd)

    def drop(self, reason: str) -> bool:
        """Count a record that was not written."""
        self.dropped[reason] += 1
        return False


class JournalWriter:
    """Writes the records of one process into segments of its own.

    ``header`` is called when a segment is opened and returns what goes into its header record
    besides the process's identity. ``sync`` is ``interval`` (fdatasync every 100 ms, in a
    thread), ``always`` (before ``write`` returns) or ``never``. A fork is noticed by itself: the
    child opens its own segment at its first write. ``upkeep`` is called in that thread, at most once
    a second, with a function that says when to stop, and whether a segment has just been sealed.

    Writing never raises: ``dropped`` counts records that could not be written, by reason, and
    ``unsynced`` how often the disk did not confirm what the kernel had taken.
    """

    def __init__(
        self,
        directory: str,
        header: "Callable[[], Dict[str, Any]]",
        sync: str = "interval",
        seal_bytes: int = SEAL_BYTES,
        upkeep: "Optional[Callable[[Callable[[], bool], bool], object]]" = None,
    ) -> None:
        self.directory: str = os.path.abspath(directory)
        self.unsynced: int = 0
        self._header = header
        self._sync = sync
        self._seal_bytes = seal_bytes
        self._upkeep = upkeep
        self._process = _Process(os.getpid())
        self._processes = {self._process.pid: self._process}
        self._held: "List[_Process]" = []
        _remember(self)

    @property
    def dropped(self) -> "Dict[str, int]":
        """Records that this process could not write, by reason."""
        return dict(self._mine().dropped)

    @property
    def written(self) -> int:
        """How many records the kernel has taken from this process, headers and ends not counted."""
        return self._mine().written

    @property
    def path(self) -> "Optional[str]":
        """The segment that is written to, or None before the first record."""
        return self._mine().path

    # -- writing ------------------------------------------------------------------------------

    def write(self, kind: int, payload: bytes) -> bool:
        """Append one record; True once the kernel has it, False if it was dropped (and counted)."""
        process = self._process
        if process.pid != os.getpid():
            process = self._mine()
        if len(payload) > MAX_PAYLOAD:
            return process.drop("too_large")
        descriptor = process.descriptor
        if descriptor is None:
            reason, descriptor = self._open(process)
            if descriptor is None:
                return self._unwritten(process, reason, kind, payload)
        data = frame(kind, next(process.sequence), payload)
        try:
            done = os.write(descriptor.fd, data)
        except OSError as error:
            return self._not_written(process, error, kind, payload)
        process.size += done
        if done != len(data):
            return self._unwritten(process, "short_write", kind, payload)  # what is there stays: readers skip it
        process.written += 1
        process.dirty = True
        if self._sync == "always":
            self._sync_now(process, descriptor)
        if not process.bells:
            self._start_thread(process)
        if process.size > self._seal_bytes:
            self._seal(process)
        return True

    def _not_written(self, process: _Process, error: OSError, kind: int, payload: bytes) -> bool:
        if process.pid != os.getpid():  # a signal handler forked while we were about to write
            return self.write(kind, payload)
        if process.closed:
            return process.drop("closed")
        return self._unwritten(process, _reason(error, "io_error"), kind, payload)

    def _unwritten(self, process: _Process, reason: str, _kind: int, _payload: bytes) -> bool:
        return process.drop(reason)

    def phase_opened(self) -> None:
        """Say that a phase is open, so that the segment is touched once a second; call it after its ``write``."""
        self._process.open_phases += 1

    def phase_closed(self) -> None:
        """Say that a phase has ended; call it after its ``write``."""
        process = self._process
        if process.open_phases > 0:  # one that a forked child did not open is none of its own
            process.open_phases -= 1

    # -- processes ----------------------------------------------------------------------------

    def _mine(self, hooked: bool = False) -> _Process:
        """Return this process's part; after a fork, a fresh one, and let go of the parent's.

        A child whose fork no hook announced starts no thread: its interpreter was not told either,
        and its lock may stand as the parent's threads left it.
        """
        process, pid = self._process, os.getpid()
        if process.pid == pid:
            return process
        # Several threads of a child may come here at once: one fresh part wins, and one of them
        # lets go of what was inherited, or the child would keep the parent's lock alive.
        self._process = fresh = self._processes.setdefault(pid, _Process(pid, process.closed, hooked))
        inherited = self._processes.pop(process.pid, None)
        if inherited is not None and inherited.descriptor is not None:
            inherited.descriptor.blank()
        return fresh

    # -- segments -----------------------------------------------------------------------------

    def _open(self, process: _Process) -> "Tuple[str, Optional[_Descriptor]]":
        """Open the first segment; returns why not, if not."""
        if not process.turn.acquire(timeout=_PATIENCE):
            return "busy", None
        try:
            if process.closed:
                return "closed", None
            if process.descriptor is None:
                process.take(*self._new_segment(process))
        except OSError as error:
            return _reason(error, "unwritable"), None
        else:
            return "", process.descriptor
        finally:
            process.turn.release()

    def _new_segment(self, process: _Process) -> "Tuple[int, int, str]":
        """Create, lock and head a segment under a hidden name, then give it its name.

        A reader thus never meets a segment without its header or its lock. Returns descriptor,
        size and path.
        """
        directory = open_directory(self.directory)
        try:
            process.number += 1
            name = segment_name(process.owner, process.number)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | _NO_FOLLOW
            fd, named = os.open("." + name, flags, 0o600, dir_fd=directory), False
            try:
                size = self._head(process, fd, directory)
                os.rename("." + name, name, src_dir_fd=directory, dst_dir_fd=directory)
                named = True
            finally:
                if not named:
                    os.close(fd)
                    with contextlib.suppress(OSError):
                        os.unlink("." + name, dir_fd=directory)
            if self._sync == "always":
                with contextlib.suppress(OSError):
                    os.fsync(directory)
            return fd, size, os.path.join(self.directory, name)
        finally:
            os.close(directory)

    def _head(self, process: _Process, fd: int, directory: int) -> int:
        give_to_owner_of(directory, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = frame(HEADER, next(process.sequence), self._header_payload(process))
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def _header_payload(self, process: _Process) -> bytes:
        ours = process_identity()
        ours["owner"], ours["segment"] = process.owner, process.number
        ours["anchor"] = [time.time_ns(), time.monotonic_ns()]
        try:
            payload = _json(dict(self._header(), **ours))
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            payload = _json(dict(ours, version=1, incomplete=type(error).__name__))
        if len(payload) > MAX_PAYLOAD:
            payload = _json(dict(ours, version=1, incomplete="too_large"))
        return payload

    def _seal(self, process: _Process) -> None:
        """Replace a full segment; only one thread does it, the others go on writing."""
        if process.sealing or not process.turn.acquire(blocking=False):
            return
        process.sealing = True
        try:
            descriptor = process.descriptor
            if process.closed or descriptor is None or process.size <= self._seal_bytes:
                return
            old = os.dup(descriptor.fd)
            try:
                new, size, path = self._new_segment(process)
                try:
                    os.dup2(new, descriptor.fd, inheritable=False)
                except OSError:
                    os.unlink(path)  # or readers would look there for signs of our life
                    raise
                finally:
                    os.close(new)
                process.size, process.path = size, path
                self._finish(process, old, "sealed")
            finally:
                os.close(old)  # the lock falls when a thread that is still inside its write has left, too
        except OSError:
            process.size = 0  # no room for a new one: go on with the old segment, try again later
        finally:
            process.sealing = False
            process.turn.release()

    def _finish(self, process: _Process, fd: int, reason: str) -> None:
        payload = _json({"reason": reason, "dropped": dict(process.dropped)})
        with contextlib.suppress(OSError):
            os.write(fd, frame(END, next(process.sequence), payload))
            if self._sync != "never":
                os.fdatasync(fd)

    def close(self) -> None:
        """End the segment cleanly and release its lock; later writes are dropped and counted."""
        process = self._mine()
        self.stop_thread()
        mine = process.turn.acquire(timeout=_PATIENCE)
        try:
            process.closed = True
            descriptor, process.descriptor = process.descriptor, None
            if descriptor is not None:
                self._end(process, descriptor)
        finally:
            if mine:
                process.turn.release()
        _forget(self)

    def _end(self, process: _Process, descriptor: _Descriptor) -> None:
        try:
            last = os.dup(descriptor.fd)
        except OSError:  # no descriptor left: the end is then not quite the last record
            self._finish(process, descriptor.fd, "closed")
            descriptor.blank()
            return
        descriptor.blank()
        self._finish(process, last, "closed")
        os.close(last)

    # -- the thread that syncs and touches ------------------------------------------------------

    def _start_thread(self, process: _Process) -> None:
        """Start it by the low-level call: ``threading`` would wait for a lock, and deadlock in a signal handler."""
        if process.closed or not process.may_start_threads or not process.starting.acquire(False):
            return
        try:
            if not process.bells:
                bell, gone = _thread.allocate_lock(), _thread.allocate_lock()
                bell.acquire()
                gone.acquire()
                _thread.start_new_thread(self._keep, (process, bell, gone))
                process.bells.append((bell, gone))
        except RuntimeError:
            pass  # no thread to be had, or the interpreter shuts down: what is written is with the kernel
        finally:
            process.starting.release()

    def _keep(self, process: _Process, bell: Any, gone: Any) -> None:
        touched, kept, number = 0.0, 0.0, 1
        pause = SYNC_SECONDS if self._sync == "interval" else TOUCH_SECONDS
        try:
            while not bell.acquire(True, pause):
                self._look_after(process)
                descriptor = process.descriptor
                if descriptor is None:
                    continue
                now = time.monotonic()
                if process.open_phases > 0 and now - touched >= TOUCH_SECONDS:
                    touched = now
                    with contextlib.suppress(OSError):
                        os.utime(descriptor.fd)
                if process.dirty and self._sync == "interval":
                    process.dirty = False
                    self._sync_now(process, descriptor)
                if self._upkeep is not None and (now - kept >= TOUCH_SECONDS or number != process.number):
                    sealed, kept, number = number != process.number, now, process.number
                    self._upkeep(lambda: not bell.locked(), sealed)
        finally:
            gone.release()

    def _look_after(self, process: _Process) -> None:
        """Nothing: what could not be written was dropped."""

    def _sync_now(self, process: _Process, descriptor: _Descriptor) -> None:
        try:
            os.fdatasync(descriptor.fd)
        except OSError:
            self.unsynced += 1

    def stop_thread(self) -> None:
        """Stop the thread and wait for it; it starts again at the next write."""
        with contextlib.suppress(IndexError):
            bell, gone = self._process.bells.pop()
            bell.release()
            gone.acquire(True, _PATIENCE)

    # -- fork -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Stop the thread and let no other thread open a segment: a child would inherit its lock."""
        self.stop_thread()
        if self._process.turn.acquire(timeout=_PATIENCE):
            self._held.append(self._process)

    def after_fork_in_parent(self) -> None:
        """Go on touching and syncing where there is something to touch or to sync."""
        self._let_go()
        process = self._process
        if process.descriptor is not None and (process.open_phases > 0 or process.dirty):
            self._start_thread(process)

    def after_fork_in_child(self) -> None:
        """Close the parent's descriptor, or this child would keep the parent's lock alive."""
        self._let_go()
        self._mine(hooked=True)

    def _let_go(self) -> None:
        with contextlib.suppress(IndexError, RuntimeError):
            self._held.pop().turn.release()


def _json(data: Dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), default=str, skipkeys=True).encode()


def _reason(error: OSError, otherwise: str) -> str:
    if error.errno in _FULL:
        return "disk_full"
    return "io_error" if error.errno == errno.EIO else otherwise


_writers: "List[JournalWriter]" = []
_hooked: "List[bool]" = []


def _remember(writer: JournalWriter) -> None:
    _writers.append(writer)
    if not _hooked:
        _hooked.append(True)
        os.register_at_fork(
            before=lambda: _each(lambda writer: writer.before_fork()),
            after_in_parent=lambda: _each(lambda writer: writer.after_fork_in_parent()),
            after_in_child=lambda: _each(lambda writer: writer.after_fork_in_child()),
        )


def _each(hook: "Callable[[JournalWriter], None]") -> None:
    for writer in tuple(_writers):
        hook(writer)


def _forget(writer: JournalWriter) -> None:
    with contextlib.suppress(ValueError):
        _writers.remove(writer)
