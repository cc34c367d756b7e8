"""Counting the end of a phase: the bridge's writer, on disk and once, against the SDK's meter in memory.

Run it with ``python -m benchmarks.metrics``. One call is 250 phases, each told twice (its start and its
end), and one commit; the peer records a histogram and a counter for each end, forgets them at exit and
counts a repetition again. ``wall`` adds what the disk takes, which differs from machine to machine.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks.timing import in_turns, table
from otel_workflow.bridge.metrics import Began, Finished, MetricsWriter
from otel_workflow.semconv import BOUNDS

PHASES = 250
NOW = time.time_ns()


def told_to(writer: MetricsWriter) -> Callable[[], None]:
    """Return a call that tells a writer of new phases, and commits."""
    ids = (f"{number:016x}" for number in itertools.count(1))

    def call() -> None:
        trace = next(ids) * 2
        for number in range(PHASES):
            span, name = next(ids), f"phase-{number % 20}"
            writer.began(Began(trace, span, False, "ci", name, "phase", NOW))
            writer.finished(
                Finished(trace, span, False, "ci", name, "phase", "success", None, NOW, NOW + number * 10**9)
            )
        writer.commit()

    return call


def told_again_to(writer: MetricsWriter) -> Callable[[], None]:
    """Return a call that tells a writer of phases that it has counted."""
    facts = [
        Finished("1" * 32, f"{number:016x}", False, "ci", "lint", "phase", "success", None, NOW, NOW)
        for number in range(PHASES)
    ]

    def call() -> None:
        for fact in facts:
            writer.finished(fact)
        writer.commit()

    return call


def recorded_by_the_sdk() -> Callable[[], None]:
    """Return a call that records as many ends with OpenTelemetry's SDK."""
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("bench")
    durations = meter.create_histogram("phase.duration", unit="s", explicit_bucket_boundaries_advisory=BOUNDS)
    runs = meter.create_counter("phase.runs")

    def call() -> None:
        for number in range(PHASES):
            labels = {"cicd.pipeline.name": "ci", "cicd.pipeline.task.name": f"phase-{number % 20}"}
            durations.record(float(number), labels)
            runs.add(1, labels | {"cicd.pipeline.task.run.result": "success"})

    return call


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        writer, other = MetricsWriter(Path(first)), MetricsWriter(Path(second))
        new = told_to(writer)
        base = "SDK's meter, in memory"
        cases = [(base, recorded_by_the_sdk()), ("writer, new ends", new), ("writer, told again", told_again_to(other))]
        times = {name: took / PHASES for name, took in in_turns(cases, 20).items()}
        table("One phase counted, CPU time", times, base)
        began = time.perf_counter()
        for _ in range(20):
            new()
        facts = 20 * 2 * PHASES / (time.perf_counter() - began)
        print(f"starts and ends a second, {2 * PHASES} in a transaction: {facts:,.0f} by the wall,", end=" ")
        print(f"{2e6 / times['writer, new ends']:,.0f} by CPU time\n")
        writer.close()
        other.close()


if __name__ == "__main__":
    main()
