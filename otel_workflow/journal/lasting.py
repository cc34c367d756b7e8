"""A journal writer for which a disk that fails is not the end: what it refuses waits in memory.

Where a record cannot be written (no space, an I/O error, a file system that became read-only, a
directory that was removed), it and all that follow are kept in memory, in order and bounded in
bytes, and the thread that syncs tries the disk again every turn. When the disk is back, all that
was kept is written, oldest first, and then records go to the disk as before. Meanwhile no record
costs the program an operation of the disk.

The usual way is the base class's, unchanged: a writer that keeps has no descriptor in its hand,
so the branch that opens the first segment is the one that leads here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from otel_workflow.journal.writer import SPAN, TOUCH_SECONDS, JournalWriter, frame, open_directory
from otel_workflow.journal.writer import _Descriptor as Descriptor
from otel_workflow.journal.writer import _Process as Process
from otel_workflow.journal.writer import _reason as reason_of

__all__ = ("KEPT_BYTES", "LEND_AFTER", "LastingWriter")

KEPT_BYTES = 16 * 1024 * 1024
"""Most bytes of payload kept; beyond it the oldest are dropped, counted as ``memory_full``."""
LEND_AFTER = 1.0
"""How long (s) the disk must have failed before others may deliver what is kept."""
_ROW = 96  # bytes that a kept record costs beside its payload
_PATIENCE = 1.0
_SAY_AGAIN = 60.0  # seconds: a disk that is now and then full is not to fill a log
_CHUNK = 1 << 20


class _Kept:
    """What one process keeps; rows are (type, payload), the n-th ever kept has the number n.

    ``stalled`` is the segment that is written to when the disk is back, None where there was none.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.rows: deque[tuple[int, bytes]] = deque()
        self.gone = self.size = self.delivered = 0
        self.since: float | None = None
        self.reason = ""
        self.stalled: Descriptor | None = None
        self.told = self.missed = False
        self.looked, self.said = 0.0, -_SAY_AGAIN

    @property
    def failing(self) -> bool:
        """True while records go to memory."""
        return bool(self.rows) or self.stalled is not None

    def pop(self) -> tuple[int, bytes]:
        """Take the oldest row off; raises IndexError when there is none."""
        row = self.rows.popleft()
        self.gone += 1
        self.size -= len(row[1]) + _ROW
        return row

    def put_back(self, row: tuple[int, bytes]) -> None:
        """Put a row back that ``pop`` gave."""
        self.rows.appendleft(row)
        self.gone -= 1
        self.size += len(row[1]) + _ROW


class LastingWriter(JournalWriter):
    """Writes as ``JournalWriter`` does, and keeps in memory what the disk does not take.

    ``write`` then returns False as well, but nothing is counted as dropped: ``written`` + ``kept`` +
    the sum of ``dropped`` are all records. ``trouble`` is called with the reason for a failure of the disk
    that lasts, in the writer's thread or at the end, at most once a minute.
    """

    def __init__(
        self,
        directory: str,
        header: Callable[[], dict[str, Any]],
        *options: Any,
        trouble: Callable[[str], object] = lambda _: None,
        kept_bytes: int = KEPT_BYTES,
        **more: Any,
    ) -> None:
        self._trouble = trouble
        self._kept_bytes = kept_bytes
        self._memory = _Kept(os.getpid())
        super().__init__(directory, header, *options, **more)

    # -- what is kept -------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        """How many records wait in memory for the disk."""
        return len(self._of(self._mine()).rows)

    @property
    def undelivered(self) -> int:
        """How many of them nobody has delivered: what is lost if the process ends now."""
        kept = self._of(self._mine())
        return max(len(kept.rows) - max(kept.delivered - kept.gone, 0), 0)

    @property
    def lends(self) -> bool:
        """True when what is kept may be delivered from memory: the disk has failed for long, or for good."""
        process = self._mine()
        kept = self._of(process)
        return bool(kept.rows) and (
            process.closed or (kept.since is not None and time.monotonic() - kept.since >= LEND_AFTER)
        )

    @property
    def owner(self) -> str:
        """The name of this process in the journal: its segments begin with it."""
        return self._mine().owner

    @property
    def closed(self) -> bool:
        """True when this process writes no more."""
        return self._mine().closed

    def lent(self, after: int) -> list[tuple[int, int, bytes]]:
        """Return (number, type, payload) of what is kept with a number beyond ``after``."""
        kept = self._of(self._mine())
        while True:
            first = kept.gone + 1
            try:
                rows = list(kept.rows)
            except RuntimeError:  # changed meanwhile
                continue
            if first == kept.gone + 1:
                break
        return [(number, *row) for number, row in enumerate(rows, first) if number > after]

    def was_delivered(self, upto: int) -> None:
        """Take note that what is kept was delivered up to a number."""
        kept = self._of(self._mine())
        kept.delivered = max(kept.delivered, upto)

    def described(self) -> dict[str, Any]:
        """Return what a segment's header says besides the process's identity."""
        return self._header()

    def _of(self, process: Process) -> _Kept:
        """Return what this process keeps; a forked child begins with nothing, and lets go of its parent's segment."""
        kept = self._memory
        if kept.pid != process.pid:
            inherited, self._memory = kept, _Kept(process.pid)
            if inherited.stalled is not None:
                inherited.stalled.blank()
            kept = self._memory
        return kept

    def _mine(self, hooked: bool = False) -> Process:
        process = super()._mine(hooked)
        self._of(process)
        return process

    # -- into memory --------------------------------------------------------------------------

    def _open(self, process: Process) -> tuple[str, Descriptor | None]:
        kept = self._of(process)
        return (kept.reason, None) if kept.failing and not process.closed else super()._open(process)

    def _unwritten(self, process: Process, reason: str, kind: int, payload: bytes) -> bool:
        if process.closed or reason == "closed":
            return process.drop("closed")
        kept, weight = self._of(process), len(payload) + _ROW
        if kept.since is None:
            kept.since, kept.reason, kept.told = time.monotonic(), reason, False
        kept.rows.append((kind, payload))
        kept.size += weight
        # Only now: what another thread writes from here on comes behind this record, not before it.
        self._stall(process, kept)
        while kept.size > self._kept_bytes and len(kept.rows) > 1:
            with contextlib.suppress(IndexError):
                kept.pop()
                if kept.gone > kept.delivered:
                    process.drop("memory_full")
        if not process.bells:
            self._start_thread(process)
            if not process.bells:  # none can be had: then whoever writes has to try
                self._come_back(process, kept)
        return False

    def _stall(self, process: Process, kept: _Kept) -> None:
        descriptor = process.descriptor
        if descriptor is not None:
            kept.stalled, process.descriptor = descriptor, None

    # -- back to the disk ---------------------------------------------------------------------

    def _look_after(self, process: Process) -> None:
        """Try the disk again where it failed; see that the segment is still there where it did not."""
        kept = self._of(process)
        now = time.monotonic()
        due, descriptor = now - kept.looked >= TOUCH_SECONDS or kept.missed, process.descriptor or kept.stalled
        if due:
            kept.looked = now
        if due and process.descriptor is not None:
            # Missed twice: whoever removes the directory is not to find a new file in it meanwhile.
            missed, kept.missed = kept.missed, _is_removed(process.descriptor.fd)
            if missed and kept.missed:
                kept.since, kept.reason, kept.told, kept.missed = now, "removed", False, False
                self._stall(process, kept)
        if not kept.failing:
            return
        if due and descriptor is not None and process.open_phases > 0:
            with contextlib.suppress(OSError):
                os.utime(descriptor.fd)
        self._come_back(process, kept)
        self._tell(kept)

    def _tell(self, kept: _Kept) -> None:
        if kept.failing and not kept.told:
            kept.told, now = True, time.monotonic()
            if now - kept.said >= _SAY_AGAIN:
                kept.said = now
                self._trouble(kept.reason)

    def _come_back(self, process: Process, kept: _Kept) -> None:
        """Write what is kept, oldest first; then give the segment back to those who write."""
        if not process.turn.acquire(timeout=_PATIENCE):
            return
        try:
            self._stall(process, kept)  # who kept the first record may not have come so far
            descriptor = kept.stalled or self._segment_for(process, kept)
            self._refile(process, descriptor)
            while True:
                while kept.rows:
                    self._put_down(process, kept, descriptor)
                process.descriptor, kept.stalled = descriptor, None
                if not kept.rows:
                    break
                self._stall(process, kept)  # another thread kept one at this very moment
            kept.since = None
            process.dirty = True
        except OSError as error:
            kept.reason = reason_of(error, "unwritable")
        finally:
            process.turn.release()

    def _segment_for(self, process: Process, kept: _Kept) -> Descriptor:
        """Open the first segment, in nobody's hand yet."""
        fd, process.size, process.path = self._new_segment(process)
        kept.stalled = Descriptor(fd)
        return kept.stalled

    def _put_down(self, process: Process, kept: _Kept, descriptor: Descriptor) -> None:
        try:
            row = kept.pop()
        except IndexError:  # it just fell out, for want of room
            return
        kind, payload = row
        if kind == SPAN and kept.gone <= kept.delivered:
            return  # an event that was delivered is known again when it is read; a span is not
        data, done = frame(kind, next(process.sequence), payload), 0
        try:
            done = os.write(descriptor.fd, data)
        finally:
            if done != len(data):
                kept.put_back(row)
        process.size += done
        if done != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        process.written += 1

    def _refile(self, process: Process, descriptor: Descriptor) -> None:
        """Give a removed segment its name and its content again, so that nothing in it is lost either.

        Only where the place above the journal's directory is still there: a project that was deleted
        does not come back.
        """
        if process.path is None or not _is_removed(descriptor.fd):
            return
        if not os.path.isdir(os.path.dirname(self.directory)):  # noqa: PTH112, PTH120 - as the writer has it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.directory)
        name = os.path.basename(process.path)  # noqa: PTH119
        with contextlib.ExitStack() as undo:
            directory = _closing(undo, open_directory(self.directory))
            old = _closing(undo, os.open(f"/proc/self/fd/{descriptor.fd}", os.O_RDONLY | os.O_CLOEXEC))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            new = _closing(undo, os.open(f".{name}", flags, 0o600, dir_fd=directory))
            hidden = undo.enter_context(contextlib.ExitStack())
            hidden.callback(_unlink, f".{name}", directory)
            fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _copy(old, new)
            os.rename(f".{name}", name, src_dir_fd=directory, dst_dir_fd=directory)
            hidden.pop_all()
            os.dup2(new, descriptor.fd, inheritable=False)
            _copy(old, new)  # what another thread was still writing

    # -- ends and forks -----------------------------------------------------------------------

    def close(self) -> None:
        """End the segment; what the disk does not even take now stays in memory, to be delivered."""
        process = self._mine()
        self.stop_thread()
        kept = self._of(process)
        if not process.closed and process.descriptor is not None and _is_removed(process.descriptor.fd):
            self._stall(process, kept)
        if not process.closed and kept.failing:
            self._come_back(process, kept)
            self._tell(kept)
            if process.descriptor is None:
                process.descriptor, kept.stalled = kept.stalled, None
        super().close()

    def after_fork_in_parent(self) -> None:
        """Go on trying the disk, too, where it failed."""
        super().after_fork_in_parent()
        if self._of(self._process).failing:
            self._start_thread(self._process)


def _is_removed(fd: int) -> bool:
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:
        return False


def _closing(undo: contextlib.ExitStack, fd: int) -> int:
    undo.callback(os.close, fd)
    return fd


def _unlink(name: str, directory: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


def _copy(source: int, target: int) -> None:
    while data := os.read(source, _CHUNK):
        while data:
            data = data[os.write(target, data) :]
