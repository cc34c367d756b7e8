"""Keeps a journal directory below its bound in bytes; what that costs is counted.

First goes what was retired, oldest first; then what was set aside; then the oldest ended segments
that were not shipped. Of these the records of runs stay: they are put into one small pack, and go
last. Segments that are still written to never go. The bound is a bound for what is kept, not a
limit for writing: nobody waits for it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from otel_workflow.events import END_TRANSITIONS, TRANSITIONS
from otel_workflow.journal.cursor import Cursor
from otel_workflow.journal.ledger import Ledger
from otel_workflow.journal.liveness import is_over
from otel_workflow.journal.pack import PACK, RUNS, Member, Whole, members_of, runs_name, write_pack
from otel_workflow.journal.record import EVENT_HEAD, IS_RUN, NESTED
from otel_workflow.journal.retention import QUARANTINE, entries_in, files_in
from otel_workflow.journal.segment import Record, Segment, read_header
from otel_workflow.journal.writer import END, EVENT, HEADER, RETIRED, SPAN, SUFFIX, frame

__all__ = ("enforce", "size_of")

_IDS = slice(4, 28)
_STARTED = bytes([TRANSITIONS.index("started")])
_ENDS = {bytes([TRANSITIONS.index(transition)]) for transition in END_TRANSITIONS}


def size_of(directory: Path, *others: str) -> int:
    """Return how many bytes a journal directory holds, with what was retired or set aside, and what is in others."""
    places = (directory, *(directory / name for name in (RETIRED, QUARANTINE, *others)))
    # Not ``files_in``: there may be 20,000 of them, and a path costs more than looking.
    return sum(status.st_size for place in places for _, status in entries_in(place))


def enforce(
    directory: Path, most: int, ledger: Ledger, stop: Callable[[], bool] = lambda: False
) -> dict[str, set[int]]:
    """Delete until the directory holds at most ``most`` bytes, and count in the ledger what was dropped.

    Returns the segments that went, each with the ends of those of its records that stay in a pack.
    Raises OSError when what is to be kept of a segment could not be written: it then stays.
    """
    over, before = size_of(directory) - most, sum(ledger.dropped.values())
    for place in (directory / RETIRED, directory / QUARANTINE):
        for path, size in _by_age(place):
            if over <= 0 or stop():
                break
            path.unlink(missing_ok=True)
            over -= size
    sent, went = _Sent.of(directory), dict[str, set[int]]()
    for last in (False, True):
        for path, size in _by_age(directory, runs=last):
            if over <= 0 or stop():
                break
            if _may_go(path):
                rest = _rest_of(path, sent, keep=not last)
                over -= size - _drop(path, rest, ledger)
                went.update(rest.stay)
    dropped = sum(ledger.dropped.values()) - before
    if dropped and ledger.may_warn():
        import logging

        logging.getLogger("otel_workflow").warning(
            "otel-workflow dropped %d records that were not sent, because the journal %s is larger than "
            "OW_JOURNAL_MAX (%d bytes); deliver with: otel-workflow ship",
            dropped,
            directory,
            most,
        )
    return went


def _by_age(place: Path, *, runs: bool | None = None) -> Iterator[tuple[Path, int]]:
    """Yield files and sizes, the one that was written to longest ago first."""
    found = sorted((status.st_mtime_ns, path, status.st_size) for path, status in files_in(place))
    for _, path, size in found:
        ours = path.suffix in (SUFFIX, PACK) and not path.name.startswith(".")
        if runs is None or (ours and path.name.startswith(RUNS) == runs):
            yield path, size


@dataclass(frozen=True, slots=True)
class _Sent:
    """How far the directory's traces were delivered: positions by segment, and ids beyond them."""

    positions: Mapping[str, int]
    keys: Mapping[str, object]

    @classmethod
    def of(cls, directory: Path) -> _Sent:
        said = Cursor(directory, "traces").load()
        positions, keys = said.get("acknowledged"), said.get("sent")
        return cls(positions if isinstance(positions, dict) else {}, keys if isinstance(keys, dict) else {})


def _may_go(path: Path) -> bool:
    if path.suffix == PACK:
        return True
    with contextlib.suppress(OSError):
        header, _ = read_header(path)
        return header is not None and is_over(Segment(path, header))
    return False


@dataclass(slots=True)
class _Rest:
    """What a file holds that was not sent: how many records, and those of runs, by segment."""

    count: int = 0
    kept: list[Whole] = field(default_factory=list)
    stay: dict[str, set[int]] = field(default_factory=dict)


def _drop(path: Path, rest: _Rest, ledger: Ledger) -> int:
    """Delete a file; returns how many bytes of it are kept elsewhere."""
    kept = 0
    if rest.kept:  # named after the file, so that after a kill the next try replaces it
        kept = write_pack(path.parent, rest.kept, name=f"{RUNS}{path.stem}{PACK}").stat().st_size
    if rest.count and not ledger.leaving(path.name, rest.count):
        raise OSError(f"the books of {path.parent} cannot be written")
    path.unlink(missing_ok=True)
    return kept


def _rest_of(path: Path, sent: _Sent, *, keep: bool) -> _Rest:
    rest = _Rest()
    if path.suffix == PACK:
        for member in members_of(path):
            _add(rest, member, sent, keep=keep)
    else:
        header, end = read_header(path)
        _add(rest, Segment(path, header or {}, int(end or 0)), sent, keep=keep)
    return rest


def _add(rest: _Rest, segment: Segment | Member, sent: _Sent, *, keep: bool) -> None:
    """Sort a segment's records into those that go and those that stay."""
    position, found, last = sent.positions.get(segment.path.name, 0), list[Record](), None
    begun: dict[bytes, Record] = {}
    for record in segment.read():
        if record.kind == END:
            last = record
        elif record.kind in (EVENT, SPAN) and record.end > position:
            found.append(record)
        elif record.kind == EVENT and record.payload[1:2] == _STARTED:
            begun[record.payload[_IDS]] = record  # acknowledged as read; its phase may still be open
        if record.kind == EVENT and record.payload[1:2] in _ENDS:
            begun.pop(record.payload[_IDS], None)
    goes_on = last is not None and b'"sealed"' in last.payload
    open_starts = [r for ids, r in begun.items() if f"{ids[:16].hex()}:{ids[16:].hex()}" not in sent.keys]
    kept = [record for record in (*open_starts, *found) if keep and _is_of_a_run(record)]
    going = [record for record in (*([] if goes_on else open_starts), *found) if not (keep and _is_of_a_run(record))]
    rest.count += len(going)
    rest.stay[segment.path.name] = {record.end for record in kept}
    if kept:
        frames = [frame(HEADER, 1, json.dumps(segment.header, separators=(",", ":")).encode())]
        frames += [frame(record.kind, record.sequence, record.payload) for record in kept]
        frames += [] if last is None else [frame(END, last.sequence, last.payload)]
        rest.kept.append(Whole(runs_name(segment.path.name), segment.modified_ns(), b"".join(frames)))


def _is_of_a_run(record: Record) -> bool:
    if record.kind != EVENT or len(record.payload) < EVENT_HEAD.size:
        return False
    flags = record.payload[2]
    return bool(flags & IS_RUN) and not flags & NESTED
