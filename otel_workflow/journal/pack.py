"""Many small segments in one file, so that a look at a directory costs little.

A pack (``*.owp``) holds whole segments, byte for byte, each behind a record of type 6 that says
its name, when it was last modified, and how long it is. Whoever reads a member reads the same
records at the same positions as before, so cursors stay valid and spans come out the same. Where
such a record is damaged the member is found by its own header; only its modification time is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from otel_workflow.journal.cursor import open_beside
from otel_workflow.journal.probe import open_regular
from otel_workflow.journal.segment import HEADER_VERSION, Record, Segment, next_frame
from otel_workflow.journal.writer import FRAME, HEADER, MAGIC, SUFFIX, frame, segment_name

__all__ = ("MEMBER", "PACK", "RUNS", "Member", "Whole", "count_members", "members_of", "runs_name", "write_pack")

PACK = ".owp"
MEMBER = 6
"""The record type that stands before each segment of a pack."""
RUNS = "runs-"
"""How the name of a pack begins that holds only what is left of segments that were dropped."""
_LARGEST = 64 * 1024 * 1024


class Whole(NamedTuple):
    """A segment as it goes into a pack: its name, its modification time in ns, and all its bytes."""

    name: str
    modified_ns: int
    content: bytes


@dataclass(slots=True)
class Member(Segment):
    """A segment inside a pack. Its process is dead, or has sealed it: nothing more can come.

    ``path`` is the pack's path and the segment's name, and names no file; ``file`` is the pack.
    """

    holder: Path = field(default_factory=Path)
    start: int = 0
    length: int = 0
    modified: int = 0
    _read: bool = False

    @property
    def file(self) -> Path:
        """The pack."""
        return self.holder

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.length

    @property
    def ended(self) -> str:
        """The reason in its last record, or empty if there is none; nobody holds its lock any more."""
        return self._last_word

    @property
    def is_final(self) -> bool:
        """True when it was read to its end."""
        return self._read

    def read(self) -> Iterator[Record]:
        """Yield its records; once they were all read, none."""
        if self._read:
            return
        try:
            content = self.content()
        except OSError:
            return
        yield from self._records(BytesIO(content))
        self._read = True

    def content(self) -> bytes:
        """Return the segment's bytes; raises OSError when the pack has moved."""
        with open_regular(self.holder) as file:
            file.seek(self.start)
            return file.read(self.length) or b""

    def modified_ns(self) -> int:
        """When its owner last wrote to it or touched it, ns since the epoch, as it was before."""
        return self.modified

    def go_on_from(self, segment: Segment) -> None:
        """Take over how far the same segment was read before it was packed."""
        self.position, self.damaged, self.last_ns = segment.position, segment.damaged, segment.last_ns
        self._last_word, self.dropped = segment._last_word, segment.dropped  # noqa: SLF001 - the same segment


def runs_name(name: str) -> str:
    """Return the name of what is left of a dropped segment: its positions are others, so must its name be."""
    return name if name.endswith(f".runs{SUFFIX}") else f"{name.removesuffix(SUFFIX)}.runs{SUFFIX}"


def write_pack(directory: Path, members: Iterable[Whole], prefix: str = "", *, name: str = "") -> Path:
    """Write segments into a pack and return its path; raises OSError, and then leaves nothing.

    The pack has its name only when all of it is on the disk. It is a new one, or replaces the one
    of the ``name`` that is given.
    """
    name = name or f"{prefix}{time.time_ns():x}-{os.getpid()}-{os.urandom(4).hex()}{PACK}"
    hidden, newest = directory / f".{name}", 0
    try:
        with os.fdopen(open_beside(hidden, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            for number, member in enumerate(members, 1):
                said = {"name": member.name, "modified": member.modified_ns, "length": len(member.content)}
                file.write(frame(MEMBER, number, json.dumps(said, separators=(",", ":")).encode()))
                file.write(member.content)
                newest = max(newest, member.modified_ns)
            file.flush()
            os.fdatasync(file.fileno())
            os.utime(file.fileno(), ns=(newest, newest))  # retention goes by it
        hidden.rename(directory / name)
    except OSError:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
        raise
    _sync(directory)
    return directory / name


def _sync(directory: Path) -> None:
    """Force a directory's names to the disk, as far as its file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def members_of(path: Path) -> list[Member]:
    """Return the segments of a pack, none for a file that is no pack; raises OSError."""
    with open_regular(path) as file:
        data = file.read(_LARGEST) or b""
        status = os.fstat(file.fileno())
    return [
        _member(path, data, name, modified or status.st_mtime_ns, start, end)
        for name, modified, start, end in _places(data, runs=path.name.startswith(RUNS))
    ]


def count_members(path: Path) -> int:
    """Return how many segments a pack holds, without checking them; raises OSError."""
    with open_regular(path) as file:
        return (file.read(_LARGEST) or b"").count(MAGIC + bytes([MEMBER]))


def _places(data: bytes, *, runs: bool) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, modification time (0: unknown), start and end of each segment."""
    at, loose = 0, ("", 0)
    while isinstance(record := next_frame(data, at, final=True), Record):
        at = record.end
        said = _object(record.payload) if record.kind in (MEMBER, HEADER) else None
        if said is None:
            continue
        begin = record.end - FRAME.size - len(record.payload)
        if loose[0]:
            yield loose[0], 0, loose[1], begin
            loose = "", 0
        if record.kind == HEADER:  # its member record is damaged: it reaches as far as the next one
            name = _name_by(said)
            loose = (runs_name(name) if runs and name else name), begin
            continue
        title, modified, length = said.get("name"), said.get("modified"), said.get("length")
        if isinstance(title, str) and isinstance(modified, int) and isinstance(length, int) and _is_name(title):
            at = min(record.end + max(length, 0), len(data))
            yield title, modified, record.end, at
    if loose[0]:
        yield loose[0], 0, loose[1], len(data)


def _name_by(header: dict[str, Any]) -> str:
    owner, number = header.get("owner"), header.get("segment")
    name = segment_name(owner, number) if isinstance(owner, str) and isinstance(number, int) else ""
    return name if _is_name(name) else ""


def _is_name(name: str) -> bool:
    return name.endswith(SUFFIX) and "/" not in name and "\0" not in name and not name.startswith(".")


def _member(path: Path, data: bytes, name: str, modified: int, start: int, end: int) -> Member:
    content = data[start:end]
    found = next_frame(content, 0, final=True)
    whole = isinstance(found, Record) and found.kind == HEADER
    header = _object(found.payload) if isinstance(found, Record) and whole else None
    known = header is not None and header.get("version") == HEADER_VERSION
    return Member(
        path / name,
        header if header is not None and known else {},
        found.end if isinstance(found, Record) and known else 0,
        holder=path,
        start=start,
        length=end - start,
        modified=modified,
    )


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
