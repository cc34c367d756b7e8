"""The kinds of source a pump reads: a segment of a directory, a journal in memory, and what waits there for a disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from otel_workflow.journal import (
    JournalReader,
    LastingWriter,
    MemoryJournal,
    Record,
    Segment,
    evidence_ns,
    is_alive,
)
from otel_workflow.journal.liveness import LOST_NS, is_lost

__all__ = ("KeptSource", "MemorySource", "SegmentSource", "sources_of")


def _not_held() -> bool:
    return False


class SegmentSource:
    """A segment, read as its file grows; ``death`` is how its owner died, in the words of ``error.type``.

    ``run_ttl_ns`` is how long an owner of whom nothing can be proven may show no life. While ``held``
    says so nothing is read.
    """

    def __init__(self, segment: Segment, run_ttl_ns: int = LOST_NS) -> None:
        self.segment = segment
        self.death = "killed"
        self.held: Callable[[], bool] = _not_held
        self._run_ttl_ns = run_ttl_ns
        self.name = segment.path.name
        self.owner = segment.owner
        self.header: dict[str, Any] = segment.header

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        return iter(()) if self.held() else self.segment.read()

    def is_alive(self) -> bool:
        """True unless the segment's process is proven to be gone.

        A sealed segment proves nothing, though nobody holds its lock: its owner wrote on in another.
        """
        if self.segment.ended != "sealed" and not is_alive(self.segment):
            return False
        if is_lost(self.segment, time.time_ns(), self._run_ttl_ns):
            self.death = "lost"
            return False
        return True

    def evidence_ns(self) -> int:
        """Return when the segment's process last showed life."""
        return evidence_ns(self.segment)

    def note(self, time_ns: int) -> None:
        """Remember the time of the newest record."""
        self.segment.last_ns = max(self.segment.last_ns, time_ns)


class MemorySource:
    """The journal of this process, in memory; its owner is alive for as long as anybody can ask."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.name = self.owner = str(journal.header["owner"])
        self.header: dict[str, Any] = journal.header
        self.closed = False
        self.death = "killed"
        self._position = 0
        self._last = 0

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        for record in self.journal.read(self._position):
            self._position = record.end
            yield record

    def is_alive(self) -> bool:
        """True until the process says that it ends."""
        return not self.closed

    def evidence_ns(self) -> int:
        """Return the time of the newest record."""
        return self._last

    def note(self, time_ns: int) -> None:
        """Remember the time of the newest record."""
        self._last = max(self._last, time_ns)


class KeptSource:
    """What this process keeps in memory because the journal's disk fails; it goes on where its segments end."""

    def __init__(self, writer: LastingWriter) -> None:
        self.writer = writer
        self.owner = writer.owner
        self.name = f"memory-{self.owner}"
        self.header: dict[str, Any] = writer.described()
        self.death = "killed"
        self._position = 0
        self._last = 0

    def read(self) -> Iterator[Record]:
        """Yield the records that came since the last call."""
        for number, kind, payload in self.writer.lent(self._position) if self.writer.lends else ():
            self._position = number
            yield Record(kind, number, payload, number)

    def is_alive(self) -> bool:
        """True until the process says that it ends."""
        return not self.writer.closed

    def evidence_ns(self) -> int:
        """Return the time of the newest record."""
        return self._last

    def note(self, time_ns: int) -> None:
        """Remember the time of the newest record."""
        self._last = max(self._last, time_ns)


def sources_of(
    reader: JournalReader,
    known: dict[str, SegmentSource],
    destination: str | None = None,
    run_ttl_ns: int = LOST_NS,
) -> list[SegmentSource]:
    """Return the directory's segments as sources, each one the same object at every call.

    With a destination key, segments that were recorded for another destination are left out.
    """
    found = []
    for segment in reader.segments():
        key = segment.header.get("destination") or destination
        if destination is not None and key != destination:
            continue
        source = known.get(segment.path.name)
        if source is None:
            source = known[segment.path.name] = SegmentSource(segment, run_ttl_ns)
        source.segment = segment  # it may be in a pack by now
        found.append(source)
    return found
