"""Reads a whole journal directory into runs, whatever state its files are in.

Retired segments are read too: shipped runs can still be reported. Damage costs the records it
touched and is not raised; ``journal verify`` counts it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from otel_workflow.errors import DecodeError
from otel_workflow.journal import EVENT, JournalReader, Segment, evidence_ns, is_alive
from otel_workflow.journal.liveness import LOST_NS, is_lost
from otel_workflow.journal.reader import RETIRED
from otel_workflow.journal.record import decode_event
from otel_workflow.runs import Run, RunStore

__all__ = ("load_runs",)


def load_runs(directory: str | os.PathLike[str]) -> list[Run]:
    """Return all runs of a journal directory, oldest first; none when it does not exist.

    Phases whose process is proven to be gone are closed at its last sign of life. Raises
    JournalError (OW-202) when the directory exists and cannot be read; nothing for its content.
    """
    reader = JournalReader(directory, retired=True)
    store = RunStore()
    _fold(store, reader.segments())
    segments = reader.segments()  # a full segment may have been followed by a new one meanwhile
    _fold(store, segments)
    _close_the_dead(store, segments)
    return store.runs()


def _fold(store: RunStore, segments: Iterable[Segment]) -> None:
    """Merge what is new in the segments."""
    for segment in segments:
        if not segment.file.exists():
            segment.path = _moved(segment.path)
        for record in segment.read():
            if record.kind != EVENT:
                continue
            try:
                event = decode_event(record.payload)
            except DecodeError:
                continue
            segment.last_ns = max(segment.last_ns, event.time_ns)
            store.add(event, segment.owner)


def _moved(path: Path) -> Path:
    """Return where a segment went that a shipper retired between our listing and our reading."""
    return path.parent / RETIRED / path.name if path.parent.name != RETIRED else path


def _close_the_dead(store: RunStore, segments: list[Segment]) -> None:
    """Close what the dead left open; the newest segment of a process speaks for its life."""
    newest = {segment.owner: segment for segment in segments}
    for owner in {phase.owner for phase in store.phases.values() if phase.is_open}:
        segment = newest.get(owner)
        if segment is None:
            continue
        lost = is_alive(segment)
        if lost and not is_lost(segment, time.time_ns(), LOST_NS):
            continue
        _fold(store, [segment])  # what it wrote between our reading and its death
        evidence = max(evidence_ns(s) for s in segments if s.owner == owner)
        store.owner_gone(owner, evidence, "lost" if lost else "killed")
