"""Ships the journal that lives in memory: the same pump and shipper, without lock or cursor."""

from __future__ import annotations

import time

from otel_workflow.bridge.pump import Pump, Source
from otel_workflow.bridge.shipper import Client, Shipper
from otel_workflow.bridge.sources import MemorySource
from otel_workflow.journal import MemoryJournal

__all__ = ("MemoryShipper",)


class MemoryShipper:
    """Sends what this process keeps in memory; what is not sent at its end is lost."""

    def __init__(self, journal: MemoryJournal, client: Client) -> None:
        self.pump = Pump()
        self.shipper = Shipper(self.pump, client)
        self._journal = journal
        self._source: MemorySource | None = None

    def acquire(self) -> bool:
        """Always True: nobody else can read this memory."""
        return True

    def closing(self) -> None:
        """The process ends: what is still open will not end any more."""
        self._own().closed = True

    def _own(self) -> MemorySource:
        if self._source is None:
            self._source = MemorySource(self._journal)
        return self._source

    def drain(self, timeout: float, *, force: bool = False) -> bool:
        """Send everything that is ready; True when nothing waits any more."""
        sources: list[Source] = [self._own()]
        return self.shipper.drain(sources, time.monotonic() + timeout, force=force)

    def release(self) -> None:
        """Close the connection."""
        self.shipper.client.close()
