"""Lines of JSON without frames, so that a shell can write events without starting a Python.

A file ``<process>.jsonl`` beside the segments, one object of at most 4 KiB a line: ids in hex,
``type``, ``time_ns``, and what an event record says otherwise (``docs/journal-format.md``). It
belongs to the process whose segments have that name, and lives as long as that does. Nothing
protects such a line but its size: a line that does not parse is skipped and counted as damage.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from otel_workflow.events import TRANSITIONS, split_type
from otel_workflow.journal.record import IS_RUN, NO_TRANSITION, SAMPLED, encode_event
from otel_workflow.journal.segment import Record, Segment
from otel_workflow.journal.writer import EVENT

__all__ = ("LONGEST_LINE", "SPRING", "Spring")

SPRING = ".jsonl"
LONGEST_LINE = 4096
"""A line's bytes with its end: what one ``write`` of a shell puts down in one piece."""
_CHUNK = 256 * 1024


@dataclass(slots=True)
class Spring(Segment):
    """A file of lines; its header says ``unframed``. A record's sequence is the number of its line."""

    lines: int = 0

    def __post_init__(self) -> None:
        self.header["unframed"] = True

    def _records(self, file: BinaryIO) -> Iterator[Record]:
        file.seek(self.position)
        data = b""
        while chunk := file.read(_CHUNK):
            *lines, data = (data + chunk).split(b"\n")
            for line in lines:
                self.position += len(line) + 1
                self.lines += 1
                payload = _payload(line) if len(line) < LONGEST_LINE else None
                if payload is not None:
                    yield Record(EVENT, self.lines, payload, self.position)
                elif line.strip():
                    self.damaged += len(line) + 1
            if len(data) >= LONGEST_LINE:  # a line without an end: its rest comes as one that does not parse
                self.damaged += len(data)
                self.position += len(data)
                data = b""


def _payload(line: bytes) -> bytes | None:
    """Return the event record that a line stands for; None when it stands for none."""
    try:
        said = json.loads(line)
        subject, transition = split_type(said.pop("type"))
        trace, span = bytes.fromhex(said.pop("trace_id")), bytes.fromhex(said.pop("span_id"))
        parent = bytes.fromhex(said.pop("parent_span_id", None) or "0" * 16)
        if (len(trace), len(span), len(parent)) != (16, 8, 8) or not any(trace) or not any(span):
            return None
        return _encoded(said, subject, transition, trace, span, parent)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, struct.error):
        return None


def _encoded(
    said: dict[str, Any], subject: str, transition: str | None, trace: bytes, span: bytes, parent: bytes
) -> bytes:
    time_ns = said.pop("time_ns")
    flags = SAMPLED | (IS_RUN if said.pop("is_run", False) else 0)
    number = TRANSITIONS.index(transition) if transition else NO_TRANSITION
    return encode_event(number, flags, trace, span, parent, time_ns, 0, {"source": "jsonl", **said, "subject": subject})
