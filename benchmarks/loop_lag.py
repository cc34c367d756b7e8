"""How late an event loop gets while phases are made in it and delivered from its process.

A heartbeat sleeps for 1 ms and notes by how much it overslept, while the loop makes about 8,000
phases a second for two seconds, one in a turn, and a receiver in another process takes them. The stock way is the
SDK with its batch processor and OTLP/HTTP exporter; without telemetry shows what the machine
itself adds. Rounds take turns; printed are medians of the rounds' percentiles.

*Late* is by the wall clock, and on a shared machine mostly not ours. *Caused* is at most what we
did of it (``caused.py``): the smaller of that and the CPU time spent since the beat was due (or since
the phase before that), in making phases on the loop's own thread and in all other threads. The rest
of the loop's own work (the loop, the measuring) is there without telemetry as well, and not counted.
*Undisturbed* are the beats that waited less than 0.1 ms for a core: their lateness is by the wall
clock, with all that we add, and less of what the machine does.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks.burst import Collector
from benchmarks.caused import Delay, Meter, Reading, split
from benchmarks.phase import ATTRIBUTES
from benchmarks.timing import ROUNDS

__all__ = ("main",)

SECONDS = 2.0
BEAT, GROUP = 0.001, 8
LATE_NS, QUIET_NS = 1_000_000, 100_000
SHARES = (0.5, 0.99, 1.0)


# ---- the programs --------------------------------------------------------------------------


def _nothing(_journal: str) -> tuple[Callable[[], None], Callable[[], object]]:
    return (lambda: None), (lambda: None)


def _stock(_journal: str) -> tuple[Callable[[], None], Callable[[], object]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=100_000))
    tracer = provider.get_tracer("bench")

    def make() -> None:
        with tracer.start_as_current_span("lint", attributes=ATTRIBUTES) as span:
            span.add_event("phase.started", {"workflow.event": "phase.started"})
            span.add_event("phase.completed", {"workflow.event": "phase.completed", "workflow.duration": 0.01})

    return make, provider.force_flush


def _ours(journal: str) -> tuple[Callable[[], None], Callable[[], object]]:
    import otel_workflow as ow

    runtime = ow.configure(journal=journal)
    run = ow.workflow("bench")
    run.__enter__()

    def make() -> None:
        with ow.phase("lint", attributes=ATTRIBUTES):
            pass

    def end() -> None:
        run.__exit__(None, None, None)
        runtime.flush(timeout=20)

    return make, end


WAYS = {
    "without telemetry": _nothing,
    "SDK, batch processor, OTLP/HTTP": _stock,
    "otel-workflow, configure()": _ours,
}


class _Loop:
    """A loop with a heart, and what beats late in it."""

    def __init__(self, make: Callable[[], None]) -> None:
        self._make = make
        self._meter = Meter()
        self._making = 0
        self._marks: list[Reading] = []
        self.delays: list[Delay] = []

    async def run(self) -> float:
        """Make phases; returns how many a second."""
        heart = asyncio.create_task(self._beat())
        for _ in range(20):  # the connection is made, the first are sent
            await self._group()
            await asyncio.sleep(0.02)
        self.delays.clear()
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        made = 0
        while (now := loop.time()) - began < SECONDS:
            await self._group()
            made += GROUP
            due += GROUP / 8000
            await asyncio.sleep(max(due - loop.time(), 0))
        heart.cancel()
        return made / (now - began)

    async def _group(self) -> None:
        for _ in range(GROUP):
            before = self._mark()
            self._make()
            self._making += time.thread_time_ns() - before.own
            await asyncio.sleep(0)

    def _mark(self) -> Reading:
        now = self._meter.read()
        self._marks.append(now._replace(own=self._making))
        return now

    async def _beat(self) -> None:
        while True:
            self._marks.clear()
            self._mark()
            due = self._marks[0].wall + round(BEAT * 1e9)
            await asyncio.sleep(BEAT)
            self._mark()
            before = next(mark for mark in reversed(self._marks) if mark.wall <= due)
            self.delays.append(Delay.between(before, self._marks[-1], expected=due - before.wall))


def run(way: str, journal: str) -> None:
    """Run one program, and say what it saw as a line of JSON."""
    make, end = WAYS[way](journal)
    loop = _Loop(make)
    rate = asyncio.run(loop.run())
    end()
    said = [_at(values, share) for values in _columns(loop.delays) for share in SHARES]
    undisturbed = sum(each.queued < QUIET_NS for each in loop.delays) / len(loop.delays)
    print(json.dumps([rate, *said, undisturbed, *split(each for each in loop.delays if each.wall > LATE_NS)]))


def _columns(delays: list[Delay]) -> tuple[list[int], ...]:
    """Late, caused, and late where the machine had a core for us."""
    quiet = sorted(each.wall for each in delays if each.queued < QUIET_NS)
    return sorted(each.wall for each in delays), sorted(each.caused for each in delays), quiet


def _at(ordered: list[int], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e6


# ---- the table -----------------------------------------------------------------------------


def _once(way: str, collector: Collector) -> list[float]:
    with tempfile.TemporaryDirectory() as place:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OW_"))}
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
        command = [sys.executable, "-m", "benchmarks.loop_lag", way, f"{place}/j"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True)
        measured: list[float] = json.loads(done.stdout.splitlines()[-1])
        return measured


def main() -> None:
    """Print the table."""
    seen: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name in WAYS:
            collector = Collector(0.0)
            try:
                seen[name].append(_once(name, collector))
            finally:
                collector.close()
    print("### Lag of an event loop at about 8,000 phases a second\n")
    print(f"Median of {ROUNDS} rounds, ways in turn; ms by which a sleep of 1 ms is late: median / p99 / worst.\n")
    print("| way | phases/s | late | caused by us, at most | undisturbed beats | late |")
    print("|---|---:|---:|---:|---:|---:|")
    middle = {name: [statistics.median(v) for v in zip(*rounds, strict=True)] for name, rounds in seen.items()}
    for name, (rate, *ms, undisturbed, _, _, _, _) in middle.items():
        late, caused, quiet = (" / ".join(f"{each:.2f}" for each in ms[at : at + 3]) for at in (0, 3, 6))
        print(f"| {name} | {rate:,.0f} | {late} | {caused} | {undisturbed:.0%} | {quiet} |")
    print("\nOf the time of beats that were more than 1 ms late:\n")
    print("| way | making | other threads | waiting for a core | the rest |\n|---|---:|---:|---:|---:|")
    for name, (*_, making, others, queued, rest) in middle.items():
        print(f"| {name} | {making:.0%} | {others:.0%} | {queued:.0%} | {rest:.0%} |")


if __name__ == "__main__":
    run(*sys.argv[1:])
