"""Counts what this very process records: a spring over its own journal, and a writer without a file.

For long-lived workers without a daemon. What other processes record in the same directory is
theirs to count, so that two workers that push never count one run twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from otel_workflow.bridge.metrics.facts import Began, Finished
from otel_workflow.bridge.metrics.journals import JournalSpring
from otel_workflow.bridge.metrics.writer import MetricsWriter
from otel_workflow.bridge.sources import KeptSource, MemorySource
from otel_workflow.bridge.waiting import Source
from otel_workflow.journal import LastingWriter, MemoryJournal, Segment

__all__ = ("OwnCounts",)

_PIECE = 64
_PAUSE = 0.001


class _OwnSpring(JournalSpring):
    """Reads the segments of one writer, and what it keeps in memory while its disk fails."""

    def __init__(self, journal: LastingWriter) -> None:
        super().__init__(journal.directory)
        self._owner = journal.owner
        self._kept = KeptSource(journal)

    def _segments(self) -> Sequence[Segment]:
        return [segment for segment in super()._segments() if segment.owner == self._owner]

    def _look(self) -> Sequence[Source]:
        return [*super()._look(), self._kept]


class _MemorySpring(JournalSpring):
    """Reads a journal in memory."""

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__("")
        self._memory = MemorySource(journal)

    def _look(self) -> Sequence[Source]:
        return [self._memory]


class OwnCounts:
    """The counts of one process under an instance id of their own; one thread at a time uses it."""

    def __init__(self, journal: LastingWriter | MemoryJournal, interval: float) -> None:
        header = journal.described() if isinstance(journal, LastingWriter) else journal.header
        service = str(header["resource"].get("service.name", "unknown_service"))
        self.instance = str(uuid4())
        self.writer = MetricsWriter(None, service=service, instance=self.instance, scrape_interval=interval)
        self._spring = _OwnSpring(journal) if isinstance(journal, LastingWriter) else _MemorySpring(journal)

    def began(self, fact: Began) -> None:
        """Take a start."""
        self.writer.began(fact)

    def finished(self, fact: Finished) -> bool:
        """Take an end."""
        return self.writer.finished(fact)

    def is_here(self, trace_id: str) -> None:
        """Nothing: all that is counted here is of this process."""

    def take(self, stop: Callable[[], bool] = lambda: False, *, in_haste: bool = False) -> int:
        """Count what is new, in small pieces between which the program goes on; returns how many records."""
        count = 0
        while (read := self._spring.read(self, _PIECE)) and not stop():
            count += read
            if not in_haste:
                time.sleep(_PAUSE)
        self.writer.commit()
        return count
