"""Reads journal files record by record, for ``journal verify`` and ``journal cat``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_workflow.errors import DecodeError
from otel_workflow.journal import ANCHOR, END, EVENT, SPAN, JournalReader, Record, Segment, is_alive
from otel_workflow.journal.pack import Member
from otel_workflow.journal.record import decode_anchor, decode_event, decode_span
from otel_workflow.report.wording import moment, printable

__all__ = ("CheckedFile", "check_files", "describe_records", "letter_line", "line_of")

_KINDS = {1: "header", 2: "event", 3: "span", 4: "anchor", 5: "end"}


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What one file holds. ``state`` is closed, sealed, alive, dead or unknown; sizes in bytes."""

    name: str
    size: int
    records: int
    state: str
    skipped: int = 0
    torn: int = 0
    unparsed: int = 0
    why: str = ""

    @property
    def damage(self) -> str:
        """What is wrong with it, in words; empty when nothing is."""
        said = [
            self.why,
            f"{self.skipped} bytes damaged" if self.skipped else "",
            f"a torn tail of {self.torn} bytes" if self.torn else "",
            f"{self.unparsed} records that do not parse" if self.unparsed else "",
        ]
        return ", ".join(filter(None, said))


def check_files(directory: Path) -> list[CheckedFile]:
    """Read every segment, retired ones too, oldest first; raises JournalError for the directory only."""
    reader = JournalReader(directory, retired=True)
    checked = [_check(segment) for segment in reader.segments()]
    strangers = [
        CheckedFile(printable(name), 0, 0, "unknown", why=printable(why)) for name, why in reader.quarantined.items()
    ]
    return checked + strangers


def _check(segment: Segment) -> CheckedFile:
    records, unparsed = 1, 0  # the header was read when the file was found
    for record in segment.read():
        records += 1
        unparsed += not _parses(record)
    alive = is_alive(segment)
    for record in segment.read():  # what came before the owner was seen to be gone
        records += 1
        unparsed += not _parses(record)
    size = segment.length if isinstance(segment, Member) else _size_of(segment.path)
    return CheckedFile(
        name=printable(segment.path.name),
        size=size,
        records=records,
        state=segment.ended or ("alive" if alive else "dead"),
        skipped=segment.damaged,
        torn=0 if alive and not segment.ended else max(size - segment.position, 0),
        unparsed=unparsed,
    )


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _parses(record: Record) -> bool:
    try:
        if record.kind == EVENT:
            decode_event(record.payload)
        elif record.kind == SPAN:
            decode_span(record.payload)
        elif record.kind == ANCHOR:
            decode_anchor(record.payload)
    except DecodeError:
        return False
    return True


def describe_records(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield every record as plain data: file, kind, sequence, and what it says."""
    for segment in JournalReader(directory, retired=True).segments():
        yield {"file": segment.path.name, "kind": "header", "sequence": 1, "header": segment.header}
        for record in segment.read():
            kind = _KINDS.get(record.kind, str(record.kind))
            yield {"file": segment.path.name, "kind": kind, "sequence": record.sequence, **_content(record)}


def _content(record: Record) -> dict[str, Any]:
    try:
        if record.kind == EVENT:
            return {"event": _event(record.payload)}
        if record.kind == SPAN:
            scope, _, _, span = decode_span(record.payload)
            return {"bytes": len(scope) + len(span)}
        if record.kind == ANCHOR:
            wall, mono, moved = decode_anchor(record.payload)
            return {"time_ns": wall, "monotonic_ns": mono, "moved_ns": moved}
        if record.kind == END:
            return {"end": json.loads(record.payload)}
    except (DecodeError, ValueError):
        return {"damaged": True}
    return {"bytes": len(record.payload)}


def _event(payload: bytes) -> dict[str, Any]:
    event = decode_event(payload)
    span, facts = event.span, event.facts
    return {
        "id": event.id,
        "type": event.type,
        "time_ns": event.time_ns,
        "source": event.source,
        "run_id": event.run_id,
        "trace_id": span.trace_id if span else None,
        "span_id": span.span_id if span else None,
        "parent_span_id": span.parent_span_id if span else None,
        "name": facts.name if facts else None,
        "outcome": facts.outcome.value if facts and facts.outcome else None,
        "reason": facts.reason if facts else "",
        "payload": dict(event.payload),
    }


def line_of(record: dict[str, Any]) -> str:
    """Return one described record as a line for people, safe for a terminal."""
    said = f"{record['kind']} {record['sequence']}"
    if "header" in record:
        header = record["header"]
        resource = header.get("resource")
        name = resource.get("service.name", "") if isinstance(resource, dict) else ""
        said = f"--- {record['file']}  pid {header.get('pid')} on {header.get('host')}  {name}"
    elif "event" in record:
        event = record["event"]
        said = "  ".join(
            filter(None, [_at(event["time_ns"]), event["type"], str(event["name"]), event["outcome"], event["reason"]])
        )
    elif "moved_ns" in record:
        said = f"{_at(record['time_ns'])}  the wall clock has moved by {record['moved_ns'] / 1e9:+.3f} s"
    elif "end" in record:
        said = f"end: {record['end']}"
    elif record.get("damaged"):
        said += "  does not parse"
    elif "bytes" in record:
        said += f"  {record['bytes']} bytes"
    return printable(said)


def _at(time_ns: int) -> str:
    """Return a time of day with milliseconds."""
    return f"{moment(time_ns)[11:19]}.{time_ns // 1_000_000 % 1000:03}"


def letter_line(letter: dict[str, Any]) -> str:
    """Return one dead letter as a line for people, safe for a terminal."""
    at = moment(letter["time_ns"]) if isinstance(letter.get("time_ns"), int) else ""
    size = f"{len(str(letter.get('span', ''))) * 3 // 4} bytes"
    ids = f"{letter.get('trace_id', '')}:{letter.get('span_id', '')}"
    return printable(
        "  ".join(filter(None, [at, ids, str(letter.get("name", "")), size, str(letter.get("reason", ""))]))
    )
