"""What a look at a journal costs when nothing happens: 20,000 small segments, loose and packed, held by somebody."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.timing import SCALE
from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.journal.consumers import Consumer
from otel_workflow.journal.upkeep import Upkeep
from tests.journal.old_files import many

__all__ = ("main",)

SEGMENTS = max(int(20_000 * SCALE), 1_000)
LOOKS = 50
LONGEST_PAUSE = 1.0
"""Seconds between two looks of a shipper that has nothing to do."""


class Backend:
    """One that takes everything, or is away, so that everything waits."""

    def __init__(self, *, up: bool) -> None:
        self.up = up

    def connect(self, deadline: float) -> bool:
        return self.up

    def send(self, body: bytes, *, deadline: float) -> Answer:
        return Answer("accepted", 200) if self.up else Answer("unreachable")

    def close(self) -> None:
        pass


def _idle(directory: Path, *, up: bool = False) -> float:
    """Return the median CPU time of an idle look in milliseconds."""
    shipper = DirectoryShipper(directory, Backend(up=up), "")
    shipper.acquire()
    shipper.closing()  # no upkeep: it is measured by itself
    shipper.drain(60.0)
    times = []
    for _ in range(LOOKS):
        began = time.process_time()
        shipper.drain(1.0)
        times.append((time.process_time() - began) * 1_000)
    shipper.release()
    return statistics.median(times)


def main() -> None:
    """Print CPU per look, and as a share of a core at one look a second."""
    with tempfile.TemporaryDirectory() as base:
        directory = Path(base)
        many(directory, SEGMENTS)
        loose = _idle(directory)
        began = time.process_time()
        Upkeep(directory).run()
        packing = time.process_time() - began
        packed = _idle(directory)
        began = time.process_time()
        Upkeep(directory).run()
        upkeep = (time.process_time() - began) * 1_000
        Consumer(directory, "metrics").register()  # has passed nothing, so that nothing is retired
        held = _idle(directory, up=True)
        files = len(list(directory.iterdir()))
    print(f"### An idle look at {SEGMENTS:,} segments that wait\n")
    print("| segments | CPU a look, ms | of a core at one look a second | ratio |\n|---|---:|---:|---:|")
    rows = ("loose", loose), (f"packed ({files} files)", packed), ("packed, sent, held by a consumer", held)
    for name, cost in rows:
        print(f"| {name} | {cost:.2f} | {cost / 10 / LONGEST_PAUSE:.2f} % | {cost / loose:.3f} |")
    print(f"\nPacking took {packing:.2f} s of CPU once; the upkeep of each minute takes {upkeep:.1f} ms.")


if __name__ == "__main__":
    main()
