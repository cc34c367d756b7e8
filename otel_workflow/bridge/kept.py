"""Delivers from memory what a failing disk does not take, without sending it again when the disk is back.

What is kept is delivered in the order in which it was recorded, after the process's own segments.
When the disk is back the writer puts all of it there, for readers of the journal. The pump knows
an event again that it has read already; but until what it read from memory was delivered, the same
records on disk are not looked at: to pass over them would call them done with.
"""

from __future__ import annotations

from collections.abc import Sequence

from otel_workflow.bridge.pump import Pump, Source
from otel_workflow.bridge.sources import KeptSource, SegmentSource
from otel_workflow.journal import LastingWriter

__all__ = ("KeptLine",)


class KeptLine:
    """What this process keeps, as one more source beside the segments of a directory."""

    def __init__(self, writer: LastingWriter, pump: Pump) -> None:
        self._writer = writer
        self._pump = pump
        self._source: KeptSource | None = None

    @property
    def is_needed(self) -> bool:
        """True when something is in memory that nobody has delivered yet."""
        return self._writer.undelivered > 0

    def among(self, sources: Sequence[SegmentSource]) -> list[Source]:
        """Return what is to be read: the segments given, and what is kept if it is to go out from memory."""
        if not self._writer.lends and self._source is None:
            return [*sources]
        kept = self._of_this_process()
        for source in sources:
            if source.owner == kept.owner:
                source.held = self._waits
        return [*sources, kept]

    def _waits(self) -> bool:
        return self._source is not None and self._pump.waits_for(self._source.name)

    def _of_this_process(self) -> KeptSource:
        if self._source is None or self._source.owner != self._writer.owner:
            self._source = KeptSource(self._writer)
        return self._source

    def settled(self) -> None:
        """Tell the writer what was delivered."""
        if self._source is not None and self._source.owner == self._writer.owner:
            self._writer.was_delivered(self._pump.acknowledged.get(self._source.name, 0))
