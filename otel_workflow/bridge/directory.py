"""Ships one journal directory: lock, cursor, pump and shipper put together.

Whoever holds the lock sends everything in the directory that belongs to its destination, its own
segments and those of the dead alike. A segment that holds nothing more to send is moved to
``retired/``, where reports still find it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.dead import letter_of
from otel_workflow.bridge.pump import Pump, Waiting
from otel_workflow.bridge.shipper import Client, Shipper
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.journal import Cursor, DeadLetters, DirectoryLock, JournalReader

__all__ = ("DirectoryShipper", "count_waiting")

RETIRED = "retired"


class DirectoryShipper:
    """Sends a directory's spans to one destination, while it holds the directory's lock."""

    def __init__(self, directory: str | os.PathLike[str], client: Client, destination: str) -> None:
        self.directory = Path(directory)
        self.lock = DirectoryLock(directory, "traces")
        self.cursor = Cursor(directory, "traces")
        self.reader = JournalReader(directory)
        self.destination = destination
        self.pump = Pump()
        self.dead = DeadLetters(directory)
        self.shipper = Shipper(self.pump, client, self._save, bury=self._bury)
        self._known: dict[str, SegmentSource] = {}
        self._loaded = False
        self._saved: dict[str, Any] = {}
        self._turn = threading.Lock()

    def acquire(self) -> bool:
        """Take the lock and, the first time, the cursor; False while another process has it."""
        with self._turn:  # two threads of ours would take each other for another process
            if not self.lock.acquire():
                return False
            if not self._loaded:
                self._loaded = True
                saved = self.cursor.load()
                self.pump.acknowledged.update(saved.get("acknowledged", {}))
                self.pump.sent_keys.update(saved.get("sent", {}))
                self.shipper.books.load(saved.get("books"))
                self._saved = self._state()
            return True

    def closing(self) -> None:
        """The process ends: its own segment's last record has said so already."""

    def sources(self) -> list[SegmentSource]:
        """Return the segments of this destination."""
        return sources_of(self.reader, self._known, self.destination)

    def look(self, *, force: bool = False) -> int:
        """Read without sending; returns how many spans wait."""
        self.pump.read(self.sources(), force=force)
        return len(self.pump.waiting)

    def drain(self, timeout: float, *, force: bool = False) -> bool:
        """Send everything that is ready; True when nothing waits any more."""
        done = self.shipper.drain(self.sources(), time.monotonic() + timeout, force=force)
        if done:
            self.retire()
        return done

    def retire(self) -> None:
        """Move segments that are finished and delivered out of the way."""
        for source in self.sources():
            segment = source.segment
            if segment.ended != "sealed" and source.is_alive():
                continue
            self.pump.read([source])  # what it wrote between our last look and its end
            if not self.pump.is_done_with(source):
                continue
            with contextlib.suppress(OSError):
                place = self.directory / RETIRED
                place.mkdir(mode=0o700, exist_ok=True)
                segment.path.rename(place / segment.path.name)
                self.reader.forget(segment)
                self._known.pop(source.name, None)
                self.pump.forget(source)
        self._save()

    def _save(self) -> None:
        data = self._state()
        if data != self._saved and self.lock.held and self.cursor.save(data):
            self._saved = data

    def _state(self) -> dict[str, Any]:
        """What the cursor file holds: positions and books in one, so that neither is ahead of the other."""
        return {
            "acknowledged": dict(self.pump.acknowledged),
            "sent": dict(self.pump.sent_keys),
            "books": self.shipper.books.totals(),
        }

    def _bury(self, waiting: Waiting, answer: Answer) -> bool:
        return self.dead.put(letter_of(waiting, answer))

    def release(self) -> None:
        """Save, close the connection, and let another process go on."""
        self._save()
        self.shipper.client.close()
        self.lock.release()


def count_waiting(directory: str | os.PathLike[str], destination: str | None = None, budget: float = 0.1) -> int:
    """Return how many spans of a directory have not been acknowledged, without taking its lock.

    Stops after ``budget`` seconds with what it has counted by then.
    """
    pump, known = Pump(), dict[str, SegmentSource]()
    saved = Cursor(directory, "traces").load()
    pump.acknowledged.update(saved.get("acknowledged", {}))
    pump.sent_keys.update(saved.get("sent", {}))
    end = time.monotonic() + budget
    sources = sources_of(JournalReader(directory), known, destination)
    pump.read((source for source in sources if time.monotonic() < end), force=True)
    return len(pump.waiting)
