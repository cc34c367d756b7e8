"""Finds the segments of a journal directory, and keeps track of them while they come and go."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_workflow.errors import JournalError
from otel_workflow.journal.pack import PACK, Member, members_of
from otel_workflow.journal.segment import Record, Segment, owner_and_number, read_header
from otel_workflow.journal.spring import SPRING, Spring
from otel_workflow.journal.writer import RETIRED, SUFFIX

__all__ = ("RETIRED", "JournalReader", "Record", "Segment")


_CALM_NS = 100_000_000  # many times the grain of a file system's clock


class JournalReader:
    """Finds the segments of a directory and remembers how far each one was read.

    A segment keeps its name, and is followed by it, when it is put into a pack. ``quarantined``
    names the files that are no segments of a version this code knows, and why; they are left
    alone, and looked at again when they change. Files are opened until ``until``
    (``time.monotonic``); ``cut`` says that there are more, and ``names`` how many in all. Files in
    ``passed`` are not even opened while they have the size (bytes) that it says; ``passed_here`` names
    those that were found.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        retired: bool = False,
        until: float = float("inf"),
        passed: Mapping[str, int] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.quarantined: dict[str, str] = {}
        self.cut = False
        self.names = 0
        self.passed_here: set[str] = set()
        self._passed = passed or {}
        self._until = until
        self._segments: dict[str, Segment] = {}
        self._packs: dict[Path, list[Member]] = {}
        self._strangers: dict[Path, tuple[int, int, int]] = {}
        self._places = [self.directory, *([self.directory / RETIRED] if retired else [])]
        self._sorted: list[Segment] | None = None
        self._listed: dict[str, str] | None = None
        self._headless: list[Segment] = []

    def segments(self) -> list[Segment]:
        """Return all segments, oldest first; new files are found at each call.

        The same list as before where nothing has come or gone. Raises JournalError (OW-202) when
        the directory cannot be read.
        """
        before = self._changed() if self._listed is None else ()
        listed = self._files()
        if self._sorted is None or self._strangers or listed != self._listed:
            vanishing: set[str] = set()
            calm = self._listed is None and before == self._changed()
            if not calm and (self._listed is None or not listed.keys() >= self._listed.keys()):
                again = self._files()  # has the pack into which a file vanished while we looked
                vanishing, listed = listed.keys() - again.keys(), {**listed, **again}
            self._listed = dict(listed)
            self._take(listed, vanishing)
        self._head_by_relatives()
        if self._sorted is None:
            self._sorted = sorted(self._segments.values(), key=_age)
        return self._sorted

    def _take(self, files: dict[str, str], vanishing: set[str]) -> None:
        """Follow what is new, let go of what is gone, and go on in a pack where a file was put into one."""
        packed = self._packed(files)
        for name in vanishing & packed.keys():
            del files[name]
        for name in [name for name in self._segments if name not in files and name not in packed]:
            self._segments.pop(name)
            self._sorted = None
        self.names = len(files.keys() | packed.keys())
        for name, path in files.items():
            if self._until < time.monotonic():
                self.cut = True
                break
            known = self._segments.get(name)
            if known is None or str(known.path) != path:
                self._look_at(Path(path))
        for name, member in packed.items():
            known = self._segments.get(name)
            if name not in files and known is not member:
                self._follow_into(member, known)
        self._strangers = {path: seen for path, seen in self._strangers.items() if _is_here(path, files)}
        strangers = {path.name for path in self._strangers}
        for name in [name for name in self.quarantined if name not in strangers]:
            del self.quarantined[name]

    def _changed(self) -> tuple[int, ...]:
        """When something came to or left the directories last (ns); a moment ago is no time to rely on."""
        with contextlib.suppress(OSError):
            times = tuple(os.stat(place).st_mtime_ns for place in self._places)  # noqa: PTH116
            if 0 < max(times) < time.time_ns() - _CALM_NS:
                return times
        return (time.monotonic_ns(),)

    def _files(self) -> dict[str, str]:
        """Return paths of what may be segments or packs, by name; what lies in two places is in its older one."""
        found: dict[str, str] = {}  # 20,000 objects of pathlib would take longer than all the rest of a listing
        for place in self._places:  # retired ones last: what moves meanwhile is then seen twice, not never
            try:
                with os.scandir(place) as entries:
                    for entry in entries:
                        if entry.name.endswith((SUFFIX, SPRING, PACK)) and not entry.name.startswith("."):
                            if self._passed and self._is_passed(entry):
                                continue
                            found.setdefault(entry.name, entry.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise JournalError(
                    f"the journal {place} cannot be read: {error.strerror}",
                    code="OW-202",
                    hint="check its owner and mode, or name another with --journal",
                ) from error
        return found

    def _is_passed(self, entry: os.DirEntry[str]) -> bool:
        if entry.name in self.passed_here:
            return True
        size = self._passed.get(entry.name)
        with contextlib.suppress(OSError):
            if size is not None and entry.stat(follow_symlinks=False).st_size == size:
                self.passed_here.add(entry.name)
        return entry.name in self.passed_here

    def _packed(self, files: dict[str, str]) -> dict[str, Member]:
        """Return the members of all packs by name, and take the packs out of ``files``."""
        paths = {Path(files.pop(name)) for name in [name for name in files if name.endswith(PACK)]}
        for path in self._packs.keys() - paths:
            del self._packs[path]
        for path in paths - self._packs.keys():
            self._look_into(path)
        return {member.path.name: member for path in sorted(self._packs) for member in self._packs[path]}

    def _look_into(self, path: Path) -> None:
        try:
            state = _state(path.lstat())
            if self._strangers.get(path) == state:
                return
            members = members_of(path)
        except OSError:
            return
        if members:
            self._packs[path] = members
            self._strangers.pop(path, None)
            self._sorted = None
        else:
            self.quarantined[path.name], self._strangers[path] = "no segment in it", state

    def _follow_into(self, member: Member, known: Segment | None) -> None:
        """Go on in a pack where reading of the file stopped."""
        if known is not None:
            member.go_on_from(known)
        self._segments[member.path.name] = member
        self._sorted = None

    def _look_at(self, path: Path) -> None:
        try:
            status = path.lstat()
        except OSError:
            return
        state = _state(status)
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
        known = self._segments.get(path.name)
        if known is not None and not isinstance(known, Member):
            known.path = path  # it was retired meanwhile
            return
        self._segments[path.name] = kind(path, header or self._relative(path), int(end))
        self._sorted = None

    def _head_by_relatives(self) -> None:
        """Give lines without frames, and members without one, the header of their process, when it is found."""
        if self._sorted is not None and not self._headless:
            return
        self._headless = [s for s in self._segments.values() if "owner" not in s.header]
        for segment in self._headless:
            segment.header.update(self._relative(segment.path))

    def _relative(self, path: Path) -> dict[str, Any]:
        """Return the header of another segment of the same process, for one whose own is damaged."""
        owner = owner_and_number(path)[0]
        return next((dict(s.header) for s in self._segments.values() if s.owner == owner and "owner" in s.header), {})

    def forget(self, segment: Segment) -> None:
        """Stop following a segment that was moved or deleted."""
        self._segments.pop(segment.path.name, None)
        self._sorted = None


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_here(path: Path, files: dict[str, str]) -> bool:
    return path.exists() if path.suffix == PACK else files.get(path.name) == str(path)


def _age(segment: Segment) -> tuple[str, bool, str]:
    """By process, and the newest segment last: it speaks for the process's life."""
    return segment.owner, not isinstance(segment, Spring), segment.path.name
