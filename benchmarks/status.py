"""How soon ``otel-workflow status`` answers, against a Python that does nothing.

Whole processes, CPU time, over a journal that is nearly empty, one of 20,000 segments (as many builds that
nobody shipped) and one of 100 MiB; the last two also as a shipper leaves them whose backend is away:
counted, and small segments in packs. Nothing is sent; the journal is the only thing that is read.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import ROUNDS, table
from otel_workflow.bridge.tally import Tally
from otel_workflow.bus import WorkflowEventBus
from otel_workflow.instrumentation import phase, workflow
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import JournalWriter
from otel_workflow.journal.compaction import compact

__all__ = ("main",)

SEGMENTS = 20_000
BYTES = 100 * 1024 * 1024
BASE = "python -c pass"


def _header() -> dict[str, object]:
    return {"version": 1, "resource": {"service.name": "bench"}, "scope": {}, "destination": ""}


def _record(journal: Path, phases: int) -> None:
    """Write a run into a segment of its own."""
    writer = JournalWriter(str(journal), _header, sync="never")
    with replaced(Recorder("native", WorkflowEventBus(), writer)), workflow("build"):
        for _ in range(phases):
            with phase("lint", attributes={"note": "x" * 200}):
                pass
    writer.close()


def _journals(place: Path) -> dict[str, Path]:
    small, many, large = place / "small", place / "many", place / "large"
    _record(small, 3)
    for _ in range(SEGMENTS):
        _record(many, 1)
    while sum(file.stat().st_size for file in large.glob("*")) < BYTES:
        _record(large, 10_000)
    return {
        "status, one segment": small,
        f"status, {SEGMENTS:,} segments": many,
        f"status, {SEGMENTS:,} segments, packed and counted": _counted(many),
        f"status, {BYTES >> 20} MiB": large,
        f"status, {BYTES >> 20} MiB, counted": _counted(large),
    }


def _counted(journal: Path) -> Path:
    """Copy a journal, and leave it as a shipper does whose backend is away."""
    copy = journal.with_name(f"{journal.name}-counted")
    shutil.copytree(journal, copy)
    compact(copy)
    tally = Tally(copy, "", {}, {}, lambda: None, run_ttl_ns=1 << 62)
    while tally.behind:
        tally.go_on(60.0)
    return copy


def _took(*words: str) -> float:
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) * 1000


def main() -> None:
    """Print milliseconds of CPU of whole processes."""
    with tempfile.TemporaryDirectory() as place:
        journals = _journals(Path(place))
        cases: dict[str, tuple[str, ...]] = {BASE: ("-c", "pass")}
        for name, journal in journals.items():
            cases[name] = ("-m", "otel_workflow", "status", "--journal", os.fspath(journal))
        rounds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS + 1):
            for name, words in cases.items():
                rounds[name].append(_took(*words))
    times = {name: statistics.median(took[1:]) for name, took in rounds.items()}
    table("status, whole process", times, BASE, "CPU ms")
