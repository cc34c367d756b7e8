"""Counts what waits on the disk while a backend is away, so that ``status`` need not read all of it.

A pump of its own, which delivers to nobody: what it would have sent is counted, by source. Its
checkpoint and the counts are kept in ``waiting.json``; ``status`` reads on from there. They hold for
as long as nothing of what was counted has been delivered or has gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from otel_workflow.bridge.checkpoint import Checkpoint, CheckpointFile
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.bridge.span_times import start_of
from otel_workflow.bridge.waiting import Counted, Waiting
from otel_workflow.journal import JournalReader

__all__ = ("WAITING", "Tally")

WAITING = "waiting.json"
_PIECE = 256  # records; some milliseconds
_EACH = 8 * 1024 * 1024
_WORTH = 1024 * 1024


@dataclass(slots=True)
class Tally:
    """Counts a directory's waiting spans a little at a time, from where its shipper's cursor is.

    To be thrown away when that moves. ``behind`` is True until all was counted once.
    """

    directory: str | os.PathLike[str]
    destination: str
    acknowledged: Mapping[str, int]
    sent: Mapping[str, int]
    breathe: Callable[[], object]
    run_ttl_ns: int
    behind: bool = True
    _pump: Pump = field(default_factory=Pump)
    _counted: Counted = field(default_factory=Counted)
    _known: dict[str, SegmentSource] = field(default_factory=dict)
    _saved: int = 0
    _reader: JournalReader = field(init=False)
    _file: CheckpointFile = field(init=False)

    def __post_init__(self) -> None:
        self._reader = JournalReader(self.directory)
        self._file = CheckpointFile(self.directory, self.destination, WAITING)
        self._pump.acknowledged.update(self.acknowledged)
        self._pump.sent_keys.update(self.sent)
        self._pump.breathe = self.breathe
        checkpoint = CheckpointFile(self.directory, self.destination).load()
        if checkpoint is not None:
            checkpoint.apply(self._pump, self._sources())

    def _sources(self) -> list[SegmentSource]:
        return sources_of(self._reader, self._known, self.destination, self.run_ttl_ns)

    def go_on(self, seconds: float) -> None:
        """Count for so long, and keep the result when it has become worth it."""
        end, sources, self.behind = time.monotonic() + seconds, self._sources(), True
        while self.behind and time.monotonic() < end:
            self._pump.read(sources, budget=_PIECE)
            self.behind = self._pump.behind
            for waiting in self._pump.waiting:
                self._count(waiting)
            self._pump.settled(list(self._pump.waiting))
        size = sum(source.segment.position for source in sources)
        if size - self._saved >= (_EACH if self.behind else _WORTH):
            self._save(sources, size)

    def drop(self) -> None:
        """Take back what was kept: it holds no more."""
        self._file.drop()

    def _count(self, waiting: Waiting) -> None:
        began = start_of(waiting.span) or time.time_ns()
        if waiting.source:
            _, count, oldest = self._counted.by_source.get(waiting.source, (0, 0, began))
            before = self.acknowledged.get(waiting.source, 0)
            self._counted.by_source[waiting.source] = before, count + 1, min(oldest, began)
        if waiting.key:
            self._counted.by_key[waiting.key] = 0 if waiting.source else began

    def _save(self, sources: list[SegmentSource], size: int) -> None:
        checkpoint = Checkpoint.of(self._pump, sources)
        if checkpoint is None:
            return
        for name in checkpoint.places:
            self._counted.by_source.setdefault(name, (self.acknowledged.get(name, 0), 0, 0))
        if self._file.save(Checkpoint(checkpoint.known, checkpoint.places, self._counted)):
            self._saved = size
