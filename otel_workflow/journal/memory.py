"""A journal in memory, for when no directory can be written and for tests; bounded in bytes.

The same three calls as ``JournalWriter`` and the same reading as a segment. It dies with its
process, which is why a warning is logged where it replaces a directory.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from otel_workflow.journal.reader import Record
from otel_workflow.journal.writer import process_identity

__all__ = ("MemoryJournal",)

MAX_BYTES = 64 * 1024 * 1024


class MemoryJournal:
    """Keeps the newest records of this process; the oldest fall out, counted as ``memory_full``."""

    path: str | None = None

    def __init__(self, header: Callable[[], dict[str, Any]], max_bytes: int = MAX_BYTES) -> None:
        self.dropped: dict[str, int] = {}
        self.written = 0
        self._header = header
        self._pid = os.getpid()
        self._made: dict[str, Any] | None = None
        self._max_bytes = max_bytes
        self._bytes = 0
        self._records: deque[Record] = deque()
        self._sequence = itertools.count(1)

    @property
    def header(self) -> dict[str, Any]:
        """What a segment's header record would say; made at the first look."""
        if self._made is None:
            self._made = {**self._header(), **process_identity(), "owner": f"memory-{os.getpid()}", "segment": 1}
        return self._made

    def write(self, kind: int, payload: bytes) -> bool:
        """Append one record, dropping the oldest ones beyond the bound."""
        if self._pid != os.getpid():  # a forked child starts its own
            self.__init__(self._header, self._max_bytes)  # type: ignore[misc]
        sequence = next(self._sequence)
        self._records.append(Record(kind, sequence, payload, sequence))
        self._bytes += len(payload)
        self.written += 1
        while self._bytes > self._max_bytes and len(self._records) > 1:
            self._bytes -= len(self._records.popleft().payload)
            self.dropped["memory_full"] = self.dropped.get("memory_full", 0) + 1
        return True

    def read(self, position: int = 0) -> Iterator[Record]:
        """Yield the records after a position; a record's ``end`` is the position after it."""
        for record in list(self._records):
            if record.end > position:
                yield record

    def phase_opened(self) -> None:
        """Nothing to do: memory needs no sign of life."""

    def phase_closed(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: what is in memory stays readable until the process ends."""
