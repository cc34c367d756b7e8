"""Between two breaths little is done, whatever the delivery is at: counted in lines, not in time."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_workflow.bridge import open_phases
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.shipper import Shipper
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, JournalReader, JournalWriter
from otel_workflow.journal.record import SAMPLED, encode_event
from tests.bridge.clients import Taker

PHASES = 5_000
SECOND = 1_000_000_000
MOST = 3_000
"""Lines of Python; a usual one takes some 0.1 us. In one piece, 2,048 spans were 23,000."""


class Stretches:
    """Counts the lines that run between two breaths, and by function those of the longest stretch."""

    def __init__(self) -> None:
        self.longest: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()

    def breathe(self) -> None:
        if self._lines.total() > self.longest.total():
            self.longest = self._lines
        self._lines = Counter()

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self._lines[frame.f_code.co_qualname] += 1
        return self.trace


def sources(place: Path, phases: int) -> list[SegmentSource]:
    """Return the segments of a directory with so many phases of one process, all of them ended."""
    writer = JournalWriter(str(place), lambda: {"version": 1, "resource": {"service.name": "s"}, "scope": {}})
    for number in range(phases):
        ids = b"t" * 16, (phases + number).to_bytes(8, "big"), b"\0" * 8
        for over, name in enumerate(("started", "completed")):
            time_ns = (1_700_000_000 + number + over) * SECOND
            said = {"name": "s", "workflow": "w", **({"start": time_ns - SECOND, "outcome": "success"} if over else {})}
            writer.write(EVENT, encode_event(TRANSITIONS.index(name), SAMPLED, *ids, time_ns, time_ns, said))
    writer.close()
    return sources_of(JournalReader(place), {}, None)


def test_no_more_than_a_slice_is_done_between_two_breaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, encoding, putting a request together, noting what was taken: each could be done in one piece."""
    monkeypatch.setattr(open_phases, "_KEPT", 1_000)  # so that what ended is also forgotten
    taker, stretches = Taker(), Stretches()
    shipper = Shipper(Pump(), taker)
    assert shipper.drain(sources(tmp_path / "first", 3), time.monotonic() + 60)  # how such a span looks is learned once
    shipper.pump.breathe = stretches.breathe
    there = sources(tmp_path / "second", PHASES)
    before = sys.gettrace()
    sys.settrace(stretches.trace)
    try:
        done = shipper.drain(there, time.monotonic() + 60)
    finally:
        sys.settrace(before)
    stretches.breathe()
    assert (True, PHASES + 3) == (done, shipper.books.delivered)
    assert max(taker.sizes) > 100_000
    assert stretches.longest.total() < MOST, stretches.longest.most_common(5)
