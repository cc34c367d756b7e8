"""A journal in memory, for when no directory can be written and for tests; bounded in bytes.

The same calls as ``JournalWriter`` and the same reading as a segment. It dies with its process,
which is why a warning is logged where it replaces a directory.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from otel_workflow.journal.segment import Record
from otel_workflow.journal.writer import EVENT, process_identity

__all__ = ("MemoryJournal",)

MAX_BYTES = 64 * 1024 * 1024


Kept = bytes | tuple[int, bytes]
"""An event's payload alone, since nearly all records are events and what waits must be small; else with its type."""


class _Kept:
    """The records of one process; a forked child begins with none."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.header: dict[str, Any] | None = None
        self.records: deque[Kept] = deque()
        self.written = 0
        self.gone = 0
        """How many have fallen out, so that the n-th record keeps its position n."""
        self.weighed = self.size = 0
        self.turn = threading.Lock()


class MemoryJournal:
    """Keeps the newest records of this process; the oldest fall out, counted as ``memory_full``."""

    path: str | None = None

    def __init__(self, header: Callable[[], dict[str, Any]], max_bytes: int = MAX_BYTES) -> None:
        self._header = header
        self._max_bytes = max_bytes
        self._kept = _Kept()

    def _mine(self) -> _Kept:
        if self._kept.pid != os.getpid():  # what a parent recorded is the parent's to send
            self._kept = _Kept()
        return self._kept

    @property
    def header(self) -> dict[str, Any]:
        """What a segment's header record would say; made at the first look."""
        kept = self._mine()
        if kept.header is None:
            kept.header = {**self._header(), **process_identity(), "owner": f"memory-{kept.pid}", "segment": 1}
        return kept.header

    @property
    def written(self) -> int:
        """How many records were taken."""
        return self._mine().written

    @property
    def dropped(self) -> dict[str, int]:
        """Records that are no longer here, by reason."""
        gone = self._mine().gone
        return {"memory_full": gone} if gone else {}

    def write(self, kind: int, payload: bytes) -> bool:
        """Append one record, dropping the oldest ones beyond the bound."""
        kept = self._mine()
        kept.records.append(payload if kind == EVENT else (kind, payload))
        kept.written += 1
        # Whoever finds the scales taken leaves the weighing to the next: a signal handler may be here. And
        # a ``with``, which no KeyboardInterrupt gets into: a lock that stays taken would stop every reader.
        if not kept.turn.locked():
            with kept.turn:
                self._weigh(kept)
        return True

    def _weigh(self, kept: _Kept) -> None:
        records = kept.records
        while kept.weighed < kept.gone + len(records):
            kept.size += len(_payload(records[kept.weighed - kept.gone]))
            kept.weighed += 1
        while kept.size > self._max_bytes and len(records) > 1:
            kept.size -= len(_payload(records.popleft()))
            kept.gone += 1

    def read(self, position: int = 0) -> Iterator[Record]:
        """Yield the records after a position; a record's ``end`` is the position after it."""
        kept = self._mine()
        with kept.turn:  # nothing falls out meanwhile
            first = max(position, kept.gone)
            rows = _from(kept.records, first - kept.gone)
        for number, row in enumerate(rows, first + 1):
            yield Record(EVENT if isinstance(row, bytes) else row[0], number, _payload(row), number)

    def phase_opened(self) -> None:
        """Nothing to do: memory needs no sign of life."""

    def phase_closed(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: what is in memory stays readable until the process ends."""


def _payload(row: Kept) -> bytes:
    return row if isinstance(row, bytes) else row[1]


def _from(rows: deque[Kept], index: int) -> list[Kept]:
    while True:
        try:
            return list(itertools.islice(rows, index, None))
        except RuntimeError:  # a record was appended meanwhile
            continue
