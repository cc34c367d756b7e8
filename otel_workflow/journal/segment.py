"""One segment of a journal, read record by record, past torn tails and flipped bits.

Nothing here writes to a segment, and nothing raises for what is in one. Damage costs the records
it touched: the reader searches for the next frame and counts the bytes it skipped. It holds at
most one record and one chunk in memory, however large the file is.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from otel_workflow.journal.probe import lock_is_free, open_regular
from otel_workflow.journal.writer import (
    END,
    FIELDS,
    FRAME,
    HEADER,
    MAGIC,
    MAX_PAYLOAD,
    SUFFIX,
    checksum,
)

__all__ = ("Place", "Record", "Segment", "header_of", "next_frame", "owner_and_number", "read_header")

HEADER_VERSION = 1
_CHUNK = 256 * 1024
_LONGEST = FRAME.size + MAX_PAYLOAD
_FRAME, _FIELDS = FRAME.size, FIELDS.size
_frame = struct.Struct("<4sB3xIII").unpack_from  # FRAME without its flags, of which there are none yet
_new = tuple.__new__  # a named tuple's own constructor is a Python function


class Record(NamedTuple):
    """One record; ``end`` is the position after it, from which reading goes on."""

    kind: int
    sequence: int
    payload: bytes
    end: int


class Place(NamedTuple):
    """Up to where a segment was read, and what was found on the way; a later reader goes on from there.

    ``last_word`` is the reason in its last record, ``dropped`` what that says its process has
    dropped so far, as JSON; both are empty while there is none.
    """

    position: int
    damaged: int = 0
    last_ns: int = 0
    last_word: str = ""
    dropped: str = ""


@dataclass(slots=True)
class Segment:
    """One file of one process, and how far it has been read.

    ``damaged`` counts bytes that were skipped. ``header`` is empty where the header record itself
    is damaged and no other segment of the process is known. ``dropped`` are the records that its
    process had dropped when it left it, by reason, as JSON.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    position: int = 0
    damaged: int = 0
    last_ns: int = 0
    dropped: str = ""
    _last_word: str = ""
    _settled: bool = False
    _size_read: int = -1

    @property
    def owner(self) -> str:
        """The process this segment belongs to; a process's segments share it."""
        return str(self.header.get("owner") or owner_and_number(self.path)[0])

    @property
    def file(self) -> Path:
        """The file that holds it: its own, or the pack it was put into."""
        return self.path

    @property
    def size(self) -> int:
        """How many bytes it has now; 0 if it is gone."""
        try:
            return self.path.lstat().st_size
        except OSError:
            return 0

    @property
    def is_final(self) -> bool:
        """True when nothing can come any more and everything was read."""
        return False

    @property
    def ended(self) -> str:
        """The reason in its last record (``closed``, ``sealed``), or empty while there is none.

        A segment is sealed once its lock has fallen as well: until then a thread that was inside
        its write when another one sealed may still add a record.
        """
        if self._last_word == "sealed" and not self._settled:
            self._settled = lock_is_free(self.path) is not False
            return "sealed" if self._settled else ""
        return self._last_word

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        try:
            size = self.path.lstat().st_size
            if size == self._size_read:
                return
            with open_regular(self.path) as file:
                yield from self._records(file)
                self._size_read = size
        except OSError:
            return

    def _records(self, file: BinaryIO) -> Iterator[Record]:
        base, at, data, size, done = self.position, 0, b"", 0, False
        file.seek(base)
        while True:
            first = at + _FRAME
            record = None
            if first <= size:  # nearly always a whole record begins right here
                magic, kind, length, sequence, crc = _frame(data, at)
                last = first + length
                if magic == MAGIC and length <= MAX_PAYLOAD and last <= size:
                    payload = data[first:last]
                    if crc32(payload, crc32(data[at : at + _FIELDS])) == crc:  # ``checksum``, without the call
                        record = _new(Record, (kind, sequence, payload, base + last))
            if record is None:
                found = next_frame(data, at, final=done)
                if not isinstance(found, Record):
                    if done:
                        break
                    keep, wanted = found
                    chunk = file.read(max(wanted, _CHUNK)) or b""
                    data, base, at, done = data[keep:] + chunk, base + keep, 0, not chunk
                    size = len(data)
                    continue
                kind, last = found.kind, found.end
                record = found._replace(end=base + last)
                first = last - len(found.payload)
            self.damaged += base + first - _FRAME - self.position
            at, self.position = last, base + last
            if kind == END:
                self._note(record)
            yield record
        self._skip_garbage(base + len(data))

    def _skip_garbage(self, size: int) -> None:
        """Leave bytes behind that are so many that no record beginning there can still become whole."""
        first = size - _LONGEST
        if first > self.position:
            self.damaged += first - self.position
            self.position = first

    def _note(self, last: Record) -> None:
        said = _object(last.payload) or {}
        self._last_word, self._settled = str(said.get("reason", "closed")), False
        self.dropped = json.dumps(said["dropped"]) if said.get("dropped") else ""

    def place(self, position: int) -> Place:
        """Return how it stands when it was read up to a record's end."""
        passed = max(self.position - position, 0)  # bytes behind it in which no record can begin any more
        return Place(position, self.damaged - passed, self.last_ns, self._last_word, self.dropped)

    def go_on_at(self, place: Place) -> None:
        """Go on reading where another reader stopped."""
        self.position, self.damaged, self.last_ns, self._last_word, self.dropped = place
        self._settled = False

    def modified_ns(self) -> int:
        """When its owner last wrote to it or touched it, ns since the epoch; 0 if it is gone."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0


def next_frame(data: bytes, at: int, *, final: bool) -> Record | tuple[int, int]:
    """Return the next whole, correct record at or after ``at``, its ``end`` counted in ``data``.

    Without one: (first position that may become one, bytes wanted to decide), which asks for more
    data. ``final`` says that there is none: then an incomplete frame is passed over, since it may
    be a torn one with whole records behind it.
    """
    size = len(data)
    while (start := data.find(MAGIC, at)) >= 0:
        if start + FRAME.size > size:
            if not final:
                return start, FRAME.size
            break
        _, kind, _, _, length, sequence, crc = FRAME.unpack_from(data, start)
        end = start + FRAME.size + length
        if length <= MAX_PAYLOAD:
            if end > size and not final:
                return start, end - size
            payload = data[start + FRAME.size : end]
            if end <= size and checksum(data[start : start + FIELDS.size], payload) == crc:
                return Record(kind, sequence, payload, end)
        at = start + 1
    return max(at, size - len(MAGIC) + 1), 0


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def owner_and_number(path: Path) -> tuple[str, int]:
    """Return what a segment's name says: its process, and which of its segments it is (0: none)."""
    owner, _, number = path.stem.rpartition("-") if path.suffix == SUFFIX else ("", "", "")
    return (owner, int(number)) if owner and number.isascii() and number.isdigit() else (path.stem, 0)


def header_of(path: Path) -> dict[str, Any] | None:
    """Return the header of a segment of a version this code knows, else None."""
    header, _ = read_header(path)
    return header or None


def read_header(path: Path) -> tuple[dict[str, Any] | None, str | int]:
    """Return the header and its end; ({}, 0) if only the header is damaged; (None, why) for a stranger."""
    try:
        found, data = _first_record(path)
    except OSError as error:
        return None, error.strerror or "cannot be read"
    if found is None:
        other = data[:3] == MAGIC[:3] and data[3:4] not in {b"", MAGIC[3:]}
        return None, f"frame version {data[3]}" if other else "no header record" if data else "empty"
    if found.kind != HEADER:
        return {}, 0
    header = _object(found.payload)
    if header is None or header.get("version") != HEADER_VERSION:
        return None, "the header does not parse" if header is None else f"version {header.get('version')!r}"
    return header, found.end


def _first_record(path: Path) -> tuple[Record | None, bytes]:
    """Return the first whole record of a file, and the bytes that were read to find it."""
    with open_regular(path) as file:
        data = file.read(FRAME.size) or b""
        if len(data) == FRAME.size and data.startswith(MAGIC):
            data += file.read(min(FRAME.unpack(data)[4], MAX_PAYLOAD)) or b""
        found = next_frame(data, 0, final=True)
        if not isinstance(found, Record):  # it is damaged, or this is no segment: look a little further
            data += file.read(_LONGEST + _CHUNK) or b""
            found = next_frame(data, 0, final=True)
    return (found if isinstance(found, Record) else None), data
