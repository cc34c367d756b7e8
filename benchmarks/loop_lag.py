"""How long an event loop stalls while phases are made in it and delivered from its process.

A heartbeat sleeps for 1 ms and notes by how much it overslept, while the loop makes about 8,000
phases a second for two seconds and a receiver in another process takes them. The stock way is the
SDK with its batch processor and OTLP/HTTP exporter; without telemetry shows what the machine
itself adds. Rounds take turns; printed are medians of the rounds' percentiles.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.timing import ROUNDS
from otel_workflow.testing import OtlpReceiver

__all__ = ("main",)

NOTHING = """
def make(): pass
def end(): return 0
"""
STOCK = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=100_000))
tracer = provider.get_tracer("bench")
def make():
    with tracer.start_as_current_span("lint", attributes=ATTRIBUTES) as span:
        span.add_event("phase.started", {"workflow.event": "phase.started"})
        span.add_event("phase.completed", {"workflow.event": "phase.completed", "workflow.duration": 0.01})
def end(): provider.force_flush()
"""
OURS = """
import otel_workflow as ow
runtime = ow.configure(journal=JOURNAL)
def make():
    with ow.phase("lint", attributes=ATTRIBUTES): pass
def end(): runtime.flush(timeout=20)
"""
PROGRAM = """
import asyncio, json, os, sys
from benchmarks.phase import ATTRIBUTES
JOURNAL = sys.argv[1]
{way}
async def beat(lags):
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(0.001)
        lags.append(loop.time() - before - 0.001)
async def main():
    lags = []
    task = asyncio.create_task(beat(lags))
    for _ in range(10):
        make()
        await asyncio.sleep(0.02)
    lags.clear()
    loop = asyncio.get_running_loop()
    began = due = loop.time()
    made = 0
    while (now := loop.time()) - began < 2:
        for _ in range(8):
            make()
        made += 8
        due += 0.001
        await asyncio.sleep(max(due - loop.time(), 0))
    task.cancel()
    return made / (now - began), sorted(lags)
rate, lags = asyncio.run(main())
end()
at = lambda share: lags[min(int(len(lags) * share), len(lags) - 1)] * 1000
print(json.dumps([rate, at(0.5), at(0.99), lags[-1] * 1000]))
"""
WAYS = (
    ("without telemetry", NOTHING),
    ("SDK, batch processor, OTLP/HTTP", STOCK),
    ("otel-workflow, configure()", OURS),
)


def _once(way: str) -> list[float]:
    """Return phases per second and the median, 99th percentile and worst lag in ms."""
    with OtlpReceiver() as receiver, tempfile.TemporaryDirectory() as place:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OW_"))}
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        command = [sys.executable, "-c", PROGRAM.format(way=way), f"{place}/j"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True)
        measured: list[float] = json.loads(done.stdout.splitlines()[-1])
        return measured


def main() -> None:
    """Print the table."""
    seen: dict[str, list[list[float]]] = {name: [] for name, _ in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS:
            seen[name].append(_once(way))
    print("### Lag of an event loop at about 8,000 phases a second\n")
    print(f"Median of {ROUNDS} rounds, ways in turn; ms by which a sleep of 1 ms is late.\n")
    print("| way | phases/s | median | p99 | worst |\n|---|---:|---:|---:|---:|")
    for name, rounds in seen.items():
        rate, middle, most, worst = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"| {name} | {rate:,.0f} | {middle:.2f} | {most:.2f} | {worst:.2f} |")
    print()


if __name__ == "__main__":
    main()
