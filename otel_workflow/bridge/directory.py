"""Ships one journal directory: lock, cursor, pump and shipper put together.

Whoever holds the lock sends everything in the directory that belongs to its destination, its own
segments and those of the dead alike. A segment that holds nothing more to send, and that no other
registered consumer waits for, is moved to ``retired/``, where reports still find it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.checkpoint import Checkpoint, CheckpointFile
from otel_workflow.bridge.dead import letter_of
from otel_workflow.bridge.kept import KeptLine
from otel_workflow.bridge.pump import Pump, Source, Waiting
from otel_workflow.bridge.shipper import READ_AT_ONCE, Client, Shipper
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.bridge.tally import Tally
from otel_workflow.journal import Cursor, DeadLetters, DirectoryLock, JournalReader, LastingWriter, Segment
from otel_workflow.journal.consumers import Consumers
from otel_workflow.journal.upkeep import MAX_BYTES, Upkeep

__all__ = ("Count", "DirectoryShipper", "count_waiting")

RETIRED = "retired"
_UPKEEP_SECONDS = 0.25
_WORTH = 1024 * 1024
"""Bytes; a restart reads less than that in a few milliseconds, so nothing is kept for it."""
_CHECKPOINT_BYTES = 8 * 1024 * 1024
_CHECKPOINT_SECONDS = 10.0
_TALLY_SECONDS, _TALLY_EVERY, _TALLY_AGAIN = 0.02, 1.0, 10.0
"""How long what waits is counted at once while a backend is away, how often, and how often when all of it was."""
_SMALL_PIECE = 128


class DirectoryShipper:
    """Sends a directory's spans to one destination, while it holds the directory's lock.

    Keeps the directory below ``max_bytes`` meanwhile. ``run_ttl`` (seconds) is how long a run whose
    owner cannot be proven dead may show no life. ``own`` is this process's writer: what it keeps in
    memory while the disk fails is sent from there.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        client: Client,
        destination: str,
        *,
        max_bytes: int = MAX_BYTES,
        run_ttl: float = 86_400.0,
        own: LastingWriter | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.lock = DirectoryLock(directory, "traces")
        self.cursor = Cursor(directory, "traces")
        self.consumers = Consumers(directory, "traces")
        self.upkeep = Upkeep(directory, max_bytes)
        self.reader = JournalReader(directory)
        self.destination = destination
        self.pump = Pump()
        self.dead = DeadLetters(directory)
        self.shipper = Shipper(self.pump, client, self._save, bury=self._bury)
        self._kept = None if own is None else KeptLine(own, self.pump)
        self._run_ttl_ns = round(run_ttl * 1e9)
        self._known: dict[str, SegmentSource] = {}
        self._listed: list[Segment] | None = None
        self._mine: list[SegmentSource] = []
        self._followed: list[SegmentSource] = []
        self._over: set[str] = set()
        self._judged: tuple[object, ...] = ()
        self._loaded = self._closing = False
        self._saved: dict[str, Any] = {}
        self._checkpoints = CheckpointFile(directory, destination)
        self._checkpoint: Checkpoint | None = None
        self._noted, self._noted_at = 0, 0.0
        self._tally: Tally | None = None
        self._tally_due = 0.0
        self._tallied = -1
        self._turn = threading.Lock()

    def acquire(self) -> bool:
        """Take the lock and, the first time, the cursor; False while another process has it."""
        with self._turn:  # two threads of ours would take each other for another process
            if not self.lock.acquire():
                return False
            self.upkeep.lock.acquire()  # so that no recording process drops what we are about to send
            if not self._loaded:
                self._loaded = True
                saved = self.cursor.load()
                self.pump.acknowledged.update(saved.get("acknowledged", {}))
                self.pump.sent_keys.update(saved.get("sent", {}))
                self.shipper.books.load(saved.get("books"))
                self._checkpoint = self._checkpoints.load()
                self._saved = self._state()
            return True

    def closing(self) -> None:
        """The process ends: its own segment's last record has said so already, and upkeep can wait.

        What is in memory only is lost with it, so reading it counts as progress piece by piece.
        """
        self._closing = True
        if self._kept is not None and self._kept.is_needed:
            self.shipper.piece = _SMALL_PIECE

    def sources(self) -> list[SegmentSource]:
        """Return the segments of this destination in which something new may be found."""
        if self.reader.segments() is not self._listed:
            self._listed = self.reader.segments()
            self._mine = sources_of(self.reader, self._known, self.destination, self._run_ttl_ns)
            self._followed = self._mine
            self._forget_what_is_gone()
            self._resume()
        growing = {source.owner for source in self._followed if not source.segment.is_final}
        self._followed = [source for source in self._followed if source.owner in growing]
        return self._followed

    def _resume(self) -> None:
        """At the first look, go on where an earlier shipper stopped."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None and checkpoint.apply(self.pump, self._mine):
            self._noted = sum(source.segment.position for source in self._mine)

    def _forget_what_is_gone(self) -> None:
        here = {source.name for source in self._mine}
        for source in [source for name, source in self._known.items() if name not in here]:
            if self.pump.is_done_with(source):
                self._forget(source)

    def look(self, *, force: bool = False) -> int:
        """Read without sending until something waits, or all was read; returns how many spans wait.

        There is more than that where ``pump.behind`` is set.
        """
        sources = self.sources()
        while not self.pump.waiting:
            self.pump.read(sources, force=force, budget=READ_AT_ONCE)
            if not self.pump.behind:
                break
        return len(self.pump.waiting)

    def drain(self, timeout: float, *, force: bool = False) -> bool:
        """Send everything that is ready; True when nothing waits any more."""
        found = self.sources()
        sources: list[Source] = [*found] if self._kept is None else self._kept.among(found)
        done = self.shipper.drain(sources, time.monotonic() + timeout, force=force)
        if self._kept is not None:
            self._kept.settled()
            done = done and not self._kept.is_needed  # it may not go out from memory yet
        if done:
            self._drop_tally()
            self.retire()
        else:
            self._count_ahead()
        self.keep_up()
        return done

    def _drop_tally(self) -> None:
        if self._tally is not None:
            self._tally.drop()
            self._tally = None

    def _count_ahead(self) -> None:
        """Count a little of what waits, if nothing gets through."""
        now, progress = time.monotonic(), self.shipper.books.delivered + self.shipper.books.refused
        if progress != self._tallied:
            self._tally, self._tallied, self._tally_due = None, progress, now + _TALLY_EVERY
        if self._closing or now < self._tally_due or not self.lock.held:
            return
        if self._tally is None:
            self._tally = Tally(
                self.directory,
                self.destination,
                dict(self.pump.acknowledged),
                dict(self.pump.sent_keys),
                self.pump.breathe,
                self._run_ttl_ns,
            )
        self._tally.go_on(_TALLY_SECONDS)
        self._tally_due = time.monotonic() + (_TALLY_EVERY if self._tally.behind else _TALLY_AGAIN)

    def retire(self) -> None:
        """Move segments out of the way that are finished, delivered, and needed by nobody else.

        A pack goes when all that is in it may go. What was held back is judged again only when
        something has moved.
        """
        self.sources()
        self.consumers.look()
        state = (self._listed, self.pump.queued, self.shipper.books.progress, self.consumers.version)
        moved, self._judged = state != self._judged, state
        done: dict[Path, list[SegmentSource]] = {}
        held: set[Path] = set()
        for source in self._mine:
            if not moved and source.name in self._over:
                continue
            file = source.segment.file
            if self._is_over(source) and self._may_go(source):
                done.setdefault(file, []).append(source)
            else:
                held.add(file)
        for file in done.keys() - held:
            self._move_away(file, done[file])
        self._save()

    def _is_over(self, source: SegmentSource) -> bool:
        """True when its owner has left it; then also what it wrote at the end was read."""
        if source.name in self._over:
            return True
        if source.segment.ended != "sealed" and source.is_alive():
            return False
        if not source.segment.is_final:
            self.pump.read([source])
        self._over.add(source.name)
        return True

    def _may_go(self, source: SegmentSource) -> bool:
        return self.pump.is_done_with(source) and self.consumers.have_passed(source.name, source.segment.position)

    def _move_away(self, file: Path, sources: list[SegmentSource]) -> None:
        """Move a segment or a pack to ``retired/``; one pack may hold segments of one destination only."""
        with contextlib.suppress(OSError):
            place = self.directory / RETIRED
            place.mkdir(mode=0o700, exist_ok=True)
            file.rename(place / file.name)
            for source in sources:
                self.reader.forget(source.segment)
                self._forget(source)

    def _forget(self, source: SegmentSource) -> None:
        self._known.pop(source.name, None)
        self._over.discard(source.name)
        self.pump.forget(source)

    def keep_up(self) -> None:
        """Do a piece of the directory's upkeep, once a minute whoever comes."""
        if self._closing or not self.lock.held or not self.upkeep.is_due():
            return
        end = time.monotonic() + _UPKEEP_SECONDS
        self.upkeep.run(lambda: self._closing or time.monotonic() > end, strangers=tuple(self.reader.quarantined))
        while self.upkeep.went:  # what was dropped and counted must not be sent from memory all the same
            self.pump.leave_out(*self.upkeep.went.popitem())

    def _save(self) -> None:
        self._save_positions()
        if not self.pump.waiting and time.monotonic() - self._noted_at >= 1.0:
            self._keep_a_checkpoint()

    def _save_positions(self) -> bool:
        data = self._state()
        if data == self._saved:
            return True
        if not (self.lock.held and self.cursor.save(data)):
            return False
        self._saved = data
        return True

    def _keep_a_checkpoint(self, *, last: bool = False) -> None:
        """Keep what a restart goes on from, when much has been read since the last time.

        ``last`` and a calm of ten seconds make less of it much. The positions are on the disk
        before it, so that it is never ahead of them.
        """
        now, size = time.monotonic(), sum(source.segment.position for source in self._mine)
        calm = last or now - self._noted_at >= _CHECKPOINT_SECONDS
        if abs(size - self._noted) < (_WORTH if calm else _CHECKPOINT_BYTES) or not self.lock.held:
            return
        self._noted_at = now
        checkpoint = Checkpoint.of(self.pump, self._mine)
        if checkpoint is not None and self._save_positions() and self._checkpoints.save(checkpoint, self.pump.breathe):
            self._noted = size

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
        self._save_positions()
        self._keep_a_checkpoint(last=True)
        self.shipper.client.close()
        self.upkeep.lock.release()
        self.lock.release()


@dataclass(frozen=True, slots=True)
class Count:
    """How many spans wait; ``complete`` is False where time ran out: then it is at least so many."""

    spans: int = 0
    complete: bool = True


def count_waiting(
    directory: str | os.PathLike[str],
    destination: str | None = None,
    budget: float = 0.1,
    *,
    elsewhere: bool = False,
) -> Count:
    """Count the spans of a directory that have not been acknowledged, without taking its lock.

    Stops after ``budget`` seconds with what it has counted by then. ``elsewhere`` counts instead
    those that were recorded for another destination.
    """
    pump, known = Pump(), dict[str, SegmentSource]()
    saved = Cursor(directory, "traces").load()
    pump.acknowledged.update(saved.get("acknowledged", {}))
    pump.sent_keys.update(saved.get("sent", {}))
    end = time.monotonic() + budget
    sources = sources_of(JournalReader(directory), known, None if elsewhere else destination)
    if elsewhere:
        sources = [source for source in sources if source.header.get("destination") not in (None, "", destination)]
    while True:
        pump.read(sources, force=True, budget=READ_AT_ONCE)
        pump.waiting.clear()  # they are counted: nothing else is asked of them
        if not pump.behind or time.monotonic() >= end:
            return Count(pump.queued, complete=not pump.behind)
