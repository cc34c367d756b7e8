"""What may leave a journal directory because its time is over, and what is set aside.

Retired segments stay a week for reports. Left-overs of killed processes that never became a file
of the journal go after an hour. Files that are no segments of a version we know are moved to
``quarantine/`` once nobody writes to them, so that they are not looked at again for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from otel_workflow.journal.pack import PACK
from otel_workflow.journal.probe import lock_is_free
from otel_workflow.journal.spring import SPRING
from otel_workflow.journal.writer import RETIRED, SUFFIX

__all__ = ("KEPT_NS", "QUARANTINE", "clear_leftovers", "delete_old", "entries_in", "files_in", "set_aside")

QUARANTINE = "quarantine"
"""The sub-directory of files that are no segments of a version this code knows."""
KEPT_NS = 7 * 86_400_000_000_000
"""How long (ns) retired segments are kept."""
_LEFT_OVER_NS = 3_600_000_000_000
_STRANGER_NS = 60_000_000_000
_LEFT_OVER = re.compile(rf"\.(?:.+\{SUFFIX}|.+\{PACK}|[a-z]+\.(?:cursor|json)\.[0-9]+-[0-9a-f]+)")


def entries_in(place: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield the regular files of a directory, hidden ones too; none where there is no directory."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield entry, status


def files_in(place: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the same files by their paths."""
    for entry, status in entries_in(place):
        yield Path(entry.path), status


def delete_old(directory: Path, now_ns: int, kept_ns: int = KEPT_NS) -> int:
    """Delete what was retired longer ago than it is kept, by modification time; returns how many files."""
    count = 0
    for path, status in files_in(directory / RETIRED):
        if path.suffix in (SUFFIX, SPRING, PACK) and now_ns - status.st_mtime_ns > kept_ns:
            with contextlib.suppress(OSError):
                path.unlink()
                count += 1
    return count


def clear_leftovers(directory: Path, now_ns: int) -> int:
    """Delete files that a killed process never gave their name; returns how many."""
    count = 0
    for place in (directory, directory / RETIRED):
        for path, status in files_in(place):
            old = now_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _LEFT_OVER_NS
            if old and _LEFT_OVER.fullmatch(path.name) and lock_is_free(path) is not False:
                with contextlib.suppress(OSError):
                    path.unlink()
                    count += 1
    return count


def set_aside(directory: Path, strangers: Iterable[str], now_ns: int | None = None, calm_ns: int = _STRANGER_NS) -> int:
    """Move files that are no segments to ``quarantine/``; returns how many.

    Only regular files that nobody holds or has written to for a minute: a newer version of this
    code may be writing one, and a copy may be under way.
    """
    count, now = 0, time.time_ns() if now_ns is None else now_ns
    for name in strangers:
        path, place = directory / name, directory / QUARANTINE
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime_ns > calm_ns and lock_is_free(path) is True:
                place.mkdir(mode=0o700, exist_ok=True)
                path.rename(_free_name(place / name))
                count += 1
    return count


def _free_name(path: Path) -> Path:
    """Return the path, or one beside it where another file of that name was set aside before."""
    return path if not os.path.lexists(path) else path.with_name(f"{path.name}.{time.time_ns():x}")
