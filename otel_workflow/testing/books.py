"""The books an ``OtlpReceiver`` checks: emitted = delivered + spooled + dropped, each span in one version.

What a journal emitted is read off its records alone, neither with the fold nor with the encoder:
an oracle that used them would agree with their mistakes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_workflow import semconv
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import sources_of
from otel_workflow.errors import DecodeError
from otel_workflow.events import END_TRANSITIONS
from otel_workflow.journal import EVENT, SPAN, Cursor, JournalReader, Record, is_alive
from otel_workflow.journal.record import decode_event, decode_span
from otel_workflow.testing.received import Item

__all__ = ("Balance", "JournalBooks", "balance", "journal_books")

_SHOWN = 5
_SPAN_ID, _PARENT_SPAN_ID = 2, 4  # fields of OTLP's Span


@dataclass(frozen=True, slots=True)
class Balance:
    """Books that are balanced: how many different spans were emitted, and where they are.

    A span that was delivered and still waits, since the answer was lost, counts as delivered.
    ``again`` counts deliveries of the same bytes beyond the first; they are allowed.
    """

    emitted: int
    delivered: int
    spooled: int
    dropped: Mapping[str, int]
    again: int = 0

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return (
            f"{self.emitted} emitted = {self.delivered} delivered + {self.spooled} spooled"
            f" + {sum(self.dropped.values())} dropped{f' ({lost})' if lost else ''}"
        )


def balance(
    delivered: Sequence[Item],
    emitted: Collection[str],
    spooled: Collection[str],
    dropped: dict[str, int],
    outside: Collection[str],
) -> Balance:
    """Return the balanced books, or raise AssertionError that lists in words what is wrong.

    ``delivered`` are received spans with their bytes, the others ids as hex.
    """
    names = {span["span_id"]: span["name"] for span, _ in delivered}
    here, expected = names.keys(), set(emitted) | set(spooled)
    missing = expected - here - set(spooled)
    versions = Counter(span_id for span_id, _ in {(span["span_id"], raw) for span, raw in delivered})
    known = expected | set(outside) | here | {""}
    orphans = {span["span_id"]: span["parent_span_id"] for span, _ in delivered if span["parent_span_id"] not in known}
    given_up = sum(dropped.values())

    def called(ids: Iterable[str]) -> str:
        return _listed(f"{span_id} ({names[span_id]})" if span_id in names else span_id for span_id in sorted(ids))

    wrong = []
    if len(missing) > given_up:
        counted = f", of which {given_up} are counted as dropped" if given_up else " and nothing was counted as dropped"
        wrong.append(
            f"{len(missing)} of {len(expected)} are missing, neither delivered nor spooled{counted}: {called(missing)}"
        )
    if given_up > len(missing):
        wrong.append(
            f"{given_up} are counted as dropped ({dropped}), but {len(missing)} are missing: {called(missing)}"
        )
    if unknown := here - expected - set(outside):
        wrong.append(f"{len(unknown)} were delivered that nobody emitted: {called(unknown)}")
    if several := [span_id for span_id, count in versions.items() if count > 1]:
        wrong.append(f"{len(several)} came in versions with different bytes: {called(several)}")
    if orphans:
        pairs = (f"{span_id} ({names[span_id]}) under {parent}" for span_id, parent in sorted(orphans.items()))
        wrong.append(f"{len(orphans)} name a parent that nobody emitted: {_listed(pairs)}")
    if wrong:
        raise AssertionError("the books do not balance:\n" + "\n".join(f"- {line}" for line in wrong))
    again = len(delivered) - len(names)
    return Balance(len(expected), len(expected & here), len(set(spooled) - here), dropped, again)


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return (", ".join(every[:_SHOWN]) or "none") + more


# ---- what a journal says ------------------------------------------------------------------


@dataclass(slots=True)
class JournalBooks:
    """What a journal directory holds, as ids in hex.

    ``emitted`` had an end, or an owner that died; ``spooled`` wait to be sent; ``open`` may still
    come, or are another SDK's to send. What never reached the disk is in no record, and not here.
    """

    emitted: set[str] = field(default_factory=set)
    spooled: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)


def journal_books(directory: str | os.PathLike[str], delivered: Sequence[Mapping[str, Any]] = ()) -> JournalBooks:
    """Read the books off a directory's segments, retired ones too; takes no lock and writes nothing.

    ``delivered`` spans tell the markers of long runs, which stand in no record of their own. Raises
    JournalError (OW-202) when the directory cannot be read.
    """
    books = JournalBooks()
    owners: dict[str, _Seen] = {}
    for segment in JournalReader(directory, retired=True).segments():
        seen = owners.setdefault(segment.owner, _Seen())
        for record in segment.read():
            seen.take(record)
        # The newest segment comes last and speaks for the process; sealed, it has gone on in another.
        seen.lives = segment.ended == "sealed" or is_alive(segment)
    for seen in owners.values():
        books.emitted |= seen.ended if seen.lives else seen.ended | seen.began
        books.open |= seen.began | seen.elsewhere
    waiting, markers = _waiting(directory)
    books.spooled = waiting - books.open | waiting & books.emitted
    books.spooled |= markers
    books.open -= books.emitted
    books.emitted |= markers.union(_markers(delivered, books.emitted | books.open))
    return books


@dataclass(slots=True)
class _Seen:
    """What the records of one process say, and whether it lives."""

    lives: bool = True

    began: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        try:
            if record.kind == EVENT:
                self._take_event(record.payload)
            elif record.kind == SPAN:
                self.ended.add(_field(decode_span(record.payload)[3], _SPAN_ID))
        except (DecodeError, ValueError):
            return  # a damaged record is for the reader's own books

    def _take_event(self, payload: bytes) -> None:
        event = decode_event(payload)
        ref = event.span
        if ref is None or not ref.trace_flags & 1:
            return
        if ref.maker != "bridge":
            self.elsewhere.add(ref.span_id)
        elif event.transition in END_TRANSITIONS:
            self.ended.add(ref.span_id)
        else:
            self.began.add(ref.span_id)


def _waiting(directory: str | os.PathLike[str]) -> tuple[set[str], set[str]]:
    """Return the ids that a shipper would send next: spans, and markers of long runs."""
    pump = Pump()
    saved = Cursor(directory, "traces").load()
    pump.acknowledged.update(saved.get("acknowledged", {}))
    pump.sent_keys.update(saved.get("sent", {}))
    pump.read(sources_of(JournalReader(directory), {}), force=True)
    spans, markers = set[str](), set[str]()
    for waiting in pump.waiting:
        (markers if waiting.key.endswith(":marker") else spans).add(_field(waiting.span, _SPAN_ID))
    return spans, markers


def _markers(spans: Sequence[Mapping[str, Any]], known: Collection[str]) -> Iterator[str]:
    return (
        span["span_id"]
        for span in spans
        for link in span["links"]
        if link["attributes"].get(semconv.LINK_KIND) == "root" and link["span_id"] in known
    )


def _field(span: bytes, number: int) -> str:
    value = dict(wire_fields(span)).get(number, b"")
    return value.hex() if isinstance(value, bytes) else ""
