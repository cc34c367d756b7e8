"""What a restarted shipper does before it can send: 100 MiB delivered, whose process still lives.

A segment stays where it is while its process has a phase open, however much of it was delivered.
Both ways look at the same directory with the same cursor; one has its checkpoint, the other reads
everything again. CPU time, in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.timing import ROUNDS, SCALE, table
from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bus import WorkflowEventBus
from otel_workflow.instrumentation import phase, workflow
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import JournalWriter

__all__ = ("main",)

BYTES = int(100 * 1024 * 1024 * SCALE)


class _Nowhere:
    """Takes everything at once."""

    def connect(self, deadline: float) -> bool:
        return True

    def send(self, body: bytes, *, deadline: float) -> Answer:
        return Answer("accepted", 200)

    def interrupt(self) -> None:
        pass

    def before_fork(self) -> None:
        pass

    def close(self) -> None:
        pass


def _header() -> dict[str, object]:
    return {"version": 1, "resource": {"service.name": "bench"}, "scope": {}, "destination": ""}


def _shipped(journal: Path) -> tuple[float, int]:
    """Start a shipper and drain; returns CPU seconds and how many spans it sent."""
    began = time.process_time()
    shipper = DirectoryShipper(journal, _Nowhere(), "")
    assert shipper.acquire()
    assert shipper.drain(600.0)
    took = time.process_time() - began
    shipper.release()
    return took, shipper.shipper.books.delivered


def main() -> None:
    """Print CPU seconds until nothing waits."""
    names = "everything is read again", "from the checkpoint"
    rounds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        journal = Path(place)
        writer = JournalWriter(str(journal), _header, sync="never")
        with replaced(Recorder("native", WorkflowEventBus(), writer)), workflow("build"):
            while sum(file.stat().st_size for file in journal.glob("*.owj")) < BYTES:
                for _ in range(1_000):
                    with phase("lint", attributes={"note": "x" * 200}):
                        pass
            first, spans = _shipped(journal)
            checkpoint, aside = journal / "resume.json", journal / "aside"
            kept = checkpoint.stat().st_size
            for _ in range(ROUNDS):
                for name in names:
                    if name == names[0]:
                        checkpoint.rename(aside)
                    took, again = _shipped(journal)
                    assert not again
                    rounds[name].append(took)
                    if name == names[0]:
                        aside.replace(checkpoint)
        writer.close()
    table("A restart", {name: statistics.median(took) for name, took in rounds.items()}, names[0], "CPU s")
    print(
        f"{BYTES >> 20} MiB, {spans:,} spans; the first reading of it took {first:.2f} s, the checkpoint {kept:,} bytes"
    )
