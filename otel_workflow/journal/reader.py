"""Reads segments: record by record, past torn tails and flipped bits, never raising for content.

A reader never writes to a segment. Damage costs the records it touched: the reader searches for
the next frame and counts the bytes it skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from otel_workflow.errors import JournalError
from otel_workflow.journal.writer import (
    END,
    FRAME,
    HEADER,
    MAGIC,
    MAX_PAYLOAD,
    SUFFIX,
    checksum,
)

__all__ = ("JournalReader", "Record", "Segment")

RETIRED = "retired"


class Record(NamedTuple):
    """One record; ``end`` is the position after it, from which reading goes on."""

    kind: int
    sequence: int
    payload: bytes
    end: int


@dataclass(slots=True)
class Segment:
    """One file of one process, and how far it has been read.

    ``damaged`` counts bytes that were skipped; ``ended`` is the reason in its last record
    (``closed``, ``sealed``) or empty while there is none.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    position: int = 0
    damaged: int = 0
    ended: str = ""
    last_ns: int = 0

    @property
    def owner(self) -> str:
        """The process this segment belongs to; a process's segments share it."""
        return str(self.header.get("owner", self.path.stem))

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        try:
            with self._open() as file:
                file.seek(self.position)
                data = file.read()
        except OSError:
            return
        base, at = self.position, 0
        while (found := _next_frame(data, at)) is not None:
            start, record = found
            if start > at:
                self.damaged += start - at
            at = record.end
            self.position = base + at
            if record.kind == END:
                self._note_end(record.payload)
            yield record._replace(end=base + at)

    def _open(self) -> Any:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        return os.fdopen(descriptor, "rb")

    def _note_end(self, payload: bytes) -> None:
        try:
            self.ended = str(json.loads(payload).get("reason", "closed"))
        except (ValueError, AttributeError):
            self.ended = "closed"

    def modified_ns(self) -> int:
        """When its owner last wrote to it or touched it, ns since the epoch; 0 if it is gone."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0


def _next_frame(data: bytes, at: int) -> tuple[int, Record] | None:
    """Find the next whole, correct record at or after a position; None when there is none yet."""
    size = len(data)
    while (start := data.find(MAGIC, at)) >= 0:
        if start + FRAME.size > size:
            return None
        _, kind, flags, _, length, sequence, crc = FRAME.unpack_from(data, start)
        end = start + FRAME.size + length
        if length <= MAX_PAYLOAD and end <= size:
            payload = data[start + FRAME.size : end]
            if checksum(kind, flags, length, sequence, payload) == crc:
                return start, Record(kind, sequence, payload, end)
        at = start + 1
    return None


class JournalReader:
    """Finds the segments of a directory and remembers how far each one was read."""

    def __init__(self, directory: str | os.PathLike[str], *, retired: bool = False) -> None:
        self.directory = Path(directory)
        self.quarantined: dict[str, str] = {}
        self._segments: dict[Path, Segment] = {}
        self._retired = retired

    def segments(self) -> list[Segment]:
        """Return all segments, oldest first; new files are found at each call.

        A file that is no segment of a version this code knows is left alone and named in
        ``quarantined``. Raises JournalError (OW-202) when the directory cannot be read.
        """
        places = [self.directory, self.directory / RETIRED] if self._retired else [self.directory]
        for place in places:
            for path in self._files(place):
                if path not in self._segments and path.name not in self.quarantined:
                    self._adopt(path)
        return [self._segments[path] for path in sorted(self._segments, key=lambda p: p.name)]

    def _files(self, place: Path) -> list[Path]:
        try:
            with os.scandir(place) as entries:
                return [
                    Path(entry.path)
                    for entry in entries
                    if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(
                f"the journal {place} cannot be read: {error.strerror}",
                code="OW-202",
                hint="check its owner and mode, or name another with --journal",
            ) from error

    def _adopt(self, path: Path) -> None:
        segment = Segment(path)
        first = next(iter(segment.read()), None)
        if first is None or first.kind != HEADER:
            self.quarantined[path.name] = "no header record"
            return
        try:
            header = json.loads(first.payload)
            if header.get("version") != 1:
                self.quarantined[path.name] = f"version {header.get('version')!r}"
                return
        except (ValueError, AttributeError):
            self.quarantined[path.name] = "the header does not parse"
            return
        segment.header, segment.position = header, first.end
        self._segments[path] = segment

    def forget(self, segment: Segment) -> None:
        """Stop following a segment that was moved or deleted."""
        self._segments.pop(segment.path, None)
