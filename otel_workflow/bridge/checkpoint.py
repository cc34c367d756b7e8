"""Where a restart goes on: how far segments were read, and what of that is still of use.

A file ``resume.json`` beside the segments, made only at moments when nothing waits. It may be
lost, older than the cursor, torn, or of another version: then everything is read again, as without.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import SegmentSource
from otel_workflow.bridge.waiting import Counted, Remembered, Said
from otel_workflow.journal.cursor import Cursor
from otel_workflow.journal.segment import Place

__all__ = ("Checkpoint", "CheckpointFile", "mark_of")

VERSION = 1
_MOST_SAID = 4 * 1024 * 1024  # bytes of open phases' records; with more of them reading again costs no more
_IDS = 24
_BREATH = 64  # ids; some 50 us
_head = struct.Struct(f"<{_IDS}sB")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a pump remembered, and how each of the segments stood that it had read from, by name.

    ``counted`` are the spans that it did not deliver but count. Then ``files`` are those of which no more
    need be known than how large they are, in bytes, and how many segments they hold.
    """

    known: Remembered
    places: Mapping[str, Place] = field(default_factory=dict)
    counted: Counted | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, pump: Pump, sources: Iterable[SegmentSource]) -> Checkpoint | None:
        """Return how it stands now; None while spans wait, or so much is open that it is not worth it."""
        pump.settled([])  # what was read and is no end has no acknowledgement of its own
        known = pump.remembered()
        if known is None or sum(len(payload) for _, _, payload in known.said) > _MOST_SAID:
            return None
        return cls(known, {s.name: s.segment.place(known.read[s.name]) for s in sources if s.name in known.read})

    @property
    def size(self) -> int:
        """How many bytes need not be read again."""
        return sum(place.position for place in self.places.values())

    def apply(self, pump: Pump, sources: Iterable[SegmentSource]) -> bool:
        """Let a new pump go on from here, if its cursor has come as far; before it has read anything."""
        here = [source for source in sources if source.name in self.places]
        if any(pump.acknowledged.get(source.name, 0) < self.places[source.name].position for source in here):
            return False  # somebody wants them again
        self._go_on(pump, here)
        return True

    def holds(self, pump: Pump) -> bool:
        """True while nothing of what was counted has been delivered."""
        counted = self.counted
        return (
            counted is not None
            and counted.cursor == mark_of(pump.acknowledged)
            and not pump.sent_keys.keys() & counted.keys
        )

    def apply_counted(self, pump: Pump, sources: Iterable[SegmentSource]) -> bool:
        """Let a pump that only counts go on from here, unless one of the segments has gone."""
        here = [source for source in sources if source.name in self.places]
        if self.counted is None or len(here) < len(self.places):
            return False
        pump.sent_keys.update(dict.fromkeys(self.counted.keys, pump.now()))
        self._go_on(pump, here)
        return True

    def _go_on(self, pump: Pump, here: list[SegmentSource]) -> None:
        for source in here:
            source.segment.go_on_at(self.places[source.name])
        pump.recall(here, self.known)


def mark_of(positions: Mapping[str, int]) -> int:
    """Return a number by which positions are known to be others."""
    text = json.dumps(sorted((name, end) for name, end in positions.items() if end))
    return len(text) << 32 | crc32(text.encode())


class CheckpointFile:
    """The checkpoint of a directory for one destination, written by whoever holds the shipper's lock.

    Without a destination it may be read, whichever it is for.
    """

    def __init__(
        self, directory: str | os.PathLike[str], destination: str | None = None, name: str = "resume.json"
    ) -> None:
        self._file = Cursor(directory, name)
        self._file.path = Path(directory) / name
        self._destination = destination

    def load(self) -> Checkpoint | None:
        """Return what was saved last for this destination, if all of it is as it was written."""
        said = self._file.load()
        text = said.get("state")
        ours = self._destination in (None, said.get("destination"))
        if said.get("version") != VERSION or not ours or not isinstance(text, str):
            return None
        try:
            return _decoded(json.loads(text)) if crc32(text.encode()) == said.get("crc") else None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error):
            return None

    def drop(self) -> None:
        """Delete it, as far as that can be done."""
        with contextlib.suppress(OSError):
            self._file.path.unlink()

    def save(self, checkpoint: Checkpoint, breathe: Callable[[], object] = lambda: None) -> bool:
        """Replace what is there; False when the disk did not take it (the old one then stays)."""
        text = json.dumps(_encoded(checkpoint, breathe), separators=(",", ":"))
        said = {"version": VERSION, "destination": self._destination, "crc": crc32(text.encode()), "state": text}
        return self._file.save(said)


def _encoded(checkpoint: Checkpoint, breathe: Callable[[], object] = lambda: None) -> dict[str, Any]:
    known, counted = checkpoint.known, checkpoint.counted
    return {
        "places": {name: list(place) for name, place in checkpoint.places.items()},
        "read": known.read,
        "newest": known.newest,
        "said": [[owner, source, _text(payload)] for owner, source, payload in known.said],
        "ended": _text(b"".join(_packed(known.ended, breathe))),
        "counted": counted and [counted.cursor, counted.spans, counted.oldest_ns, sorted(counted.keys)],
        "files": dict(checkpoint.files),
    }


def _decoded(state: dict[str, Any]) -> Checkpoint:
    said: list[Said] = [(str(owner), str(source), a2b_base64(text)) for owner, source, text in state["said"]]
    known = Remembered(
        {str(name): int(end) for name, end in state["read"].items()},
        {str(owner): int(newest) for owner, newest in state["newest"].items()},
        said,
        dict(_unpacked(a2b_base64(state["ended"]))),
    )
    counted = None
    if state["counted"] is not None:
        cursor, spans, oldest, keys = state["counted"]
        counted = Counted(cursor, spans, oldest, frozenset(keys))
    places = {str(name): Place(*place) for name, place in state["places"].items()}
    return Checkpoint(
        known, places, counted, {str(name): (size, count) for name, (size, count) in state["files"].items()}
    )


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _packed(ended: Mapping[bytes, tuple[int, ...]], breathe: Callable[[], object]) -> Iterator[bytes]:
    for number, (ids, marks) in enumerate(ended.items()):
        if not number % _BREATH:
            breathe()
        kept = marks[-255:]
        yield _head.pack(ids, len(kept)) + struct.pack(f"<{len(kept)}Q", *kept)


def _unpacked(data: bytes) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    at = 0
    while at < len(data):
        ids, count = _head.unpack_from(data, at)
        yield ids, struct.unpack_from(f"<{count}Q", data, at + _head.size)
        at += _head.size + 8 * count
