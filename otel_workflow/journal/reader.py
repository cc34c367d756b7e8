"""Finds the segments of a journal directory, and keeps track of them while they come and go."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from otel_workflow.errors import JournalError
from otel_workflow.journal.segment import Record, Segment, owner_and_number, read_header
from otel_workflow.journal.spring import SPRING, Spring
from otel_workflow.journal.writer import RETIRED, SUFFIX

__all__ = ("RETIRED", "JournalReader", "Record", "Segment")


class JournalReader:
    """Finds the segments of a directory and remembers how far each one was read.

    ``quarantined`` names the files that are no segments of a version this code knows, and why;
    they are left alone, and looked at again when they change.
    """

    def __init__(self, directory: str | os.PathLike[str], *, retired: bool = False) -> None:
        self.directory = Path(directory)
        self.quarantined: dict[str, str] = {}
        self._segments: dict[Path, Segment] = {}
        self._strangers: dict[Path, tuple[int, int, int]] = {}
        self._retired = retired

    def segments(self) -> list[Segment]:
        """Return all segments, oldest first; new files are found at each call.

        Raises JournalError (OW-202) when the directory cannot be read.
        """
        present = self._files(self.directory)
        if self._retired:  # after the directory itself: what moves meanwhile is then seen twice, not never
            present += self._files(self.directory / RETIRED)
        for path in present:
            if path not in self._segments:
                self._look_at(path)
        self._head_springs()
        here = set(present)
        self._segments = {path: segment for path, segment in self._segments.items() if path in here}
        self._strangers = {path: seen for path, seen in self._strangers.items() if path in here}
        strangers = {path.name for path in self._strangers}
        for name in [name for name in self.quarantined if name not in strangers]:
            del self.quarantined[name]
        return sorted(self._segments.values(), key=_age)

    def _files(self, place: Path) -> list[Path]:
        try:
            with os.scandir(place) as entries:
                return [
                    Path(entry.path)
                    for entry in entries
                    if entry.name.endswith((SUFFIX, SPRING)) and not entry.name.startswith(".")
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(
                f"the journal {place} cannot be read: {error.strerror}",
                code="OW-202",
                hint="check its owner and mode, or name another with --journal",
            ) from error

    def _look_at(self, path: Path) -> None:
        try:
            status = path.lstat()
        except OSError:
            return
        state = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if self._strangers.get(path) == state:
            return
        header, end = ({}, 0) if path.suffix == SPRING else read_header(path)
        if path.suffix == SPRING and not stat.S_ISREG(status.st_mode):
            header, end = None, "not a regular file"
        if header is None:
            self.quarantined[path.name], self._strangers[path] = str(end), state
            return
        self._strangers.pop(path, None)
        kind = Spring if path.suffix == SPRING else Segment
        self._segments[path] = kind(path, header or self._relative(path), int(end))

    def _head_springs(self) -> None:
        """Give lines without frames the header of the process that they belong to, when it is found."""
        for segment in self._segments.values():
            if isinstance(segment, Spring) and "owner" not in segment.header:
                segment.header.update(self._relative(segment.path))

    def _relative(self, path: Path) -> dict[str, Any]:
        """Return the header of another segment of the same process, for one whose own is damaged."""
        owner = owner_and_number(path)[0]
        return next((dict(s.header) for s in self._segments.values() if s.owner == owner and "owner" in s.header), {})

    def forget(self, segment: Segment) -> None:
        """Stop following a segment that was moved or deleted."""
        self._segments.pop(segment.path, None)


def _age(segment: Segment) -> tuple[str, bool, str]:
    """By process, and the newest segment last: it speaks for the process's life."""
    return segment.owner, not isinstance(segment, Spring), segment.path.name
