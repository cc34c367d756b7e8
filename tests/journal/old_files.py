"""Segments of processes that have ended, made by hand in any number, and what a reader sees of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import END, EVENT, HEADER, JournalReader
from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event
from otel_workflow.journal.writer import frame, process_identity, segment_name

__all__ = ("DAY", "SECOND", "dead_segment", "event", "many", "seen")

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
_HERE = process_identity()
_NOBODY = {"pid": 2**22 + 1, "start_ticks": 1}


def event(number: int, transition: str = "started", *, run: bool = False, at: int = 0, text: str = "") -> bytes:
    """An event of phase ``number`` in a trace of its own; ``at`` is its time in seconds."""
    body: dict[str, Any] = {"name": text or f"phase {number}", "seq": 1 + (transition != "started")}
    if transition == "completed":
        body.update(outcome="success", start=number * SECOND)
    flags = SAMPLED | (IS_RUN if run else 0)
    trace, span = number.to_bytes(16, "big"), number.to_bytes(8, "big")
    return encode_event(
        TRANSITIONS.index(transition), flags, trace, span, bytes(8), (at or number) * SECOND, number, body
    )


def dead_segment(
    directory: Path,
    number: int,
    payloads: list[bytes] | None = None,
    *,
    end: str = "closed",
    age: int = 0,
    **header: Any,
) -> Path:
    """A segment of a process that is gone; without payloads one finished phase. ``age`` in ns."""
    owner = f"{number:016x}-{number}-0000abcd"
    said = {"version": 1, **_HERE, **_NOBODY, "owner": owner, "segment": 1}
    said |= {"resource": {"service.name": f"job {number % 3}"}, "scope": {"name": "test"}, "destination": ""} | header
    records = [event(number), event(number, "completed", at=number + 1)] if payloads is None else payloads
    data = frame(HEADER, 1, json.dumps(said).encode())
    data += b"".join(frame(EVENT, place, payload) for place, payload in enumerate(records, 2))
    if end:
        data += frame(END, len(records) + 2, json.dumps({"reason": end, "dropped": {}}).encode())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / segment_name(owner, 1)
    path.write_bytes(data)
    time_ns = path.stat().st_mtime_ns - age
    os.utime(path, ns=(time_ns, time_ns))
    return path


def many(directory: Path, count: int, **options: Any) -> list[Path]:
    return [dead_segment(directory, number, **options) for number in range(1, count + 1)]


def seen(directory: Path) -> dict[str, Any]:
    """All that a reader sees: by name the header, the modification time, every record, the end."""
    return {
        segment.path.name: (segment.header, segment.modified_ns(), list(segment.read()), segment.ended)
        for segment in JournalReader(directory, retired=True).segments()
    }
