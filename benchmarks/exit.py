"""How long a process takes to end when its collector is gone, silent, or well.

One process makes a hundred spans and returns. The stock way is the SDK with its batch processor
and OTLP/HTTP exporter; ours is ``configure()``. Printed: seconds beyond the same work without
telemetry, and what arrived or stayed to be sent later.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_workflow.bridge.directory import count_waiting
from otel_workflow.testing import FaultProxy, OtlpReceiver

__all__ = ("main",)

SPANS = 100
STOCK = f"""
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("bench")
for i in range({SPANS}):
    with tracer.start_as_current_span("work"): pass
"""
OURS = f"""
import otel_workflow as ow
ow.configure()
with ow.workflow("bench"):
    for i in range({SPANS} - 1):
        with ow.phase("work"): pass
"""
NOTHING = OURS.replace("ow.configure()", "import otel_workflow.runtime")


@contextmanager
def _refused() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, never listening


@contextmanager
def _black_hole() -> Iterator[str]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def _run(program: str, endpoint: str, journal: str) -> float:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OW_JOURNAL": journal}
    began = time.perf_counter()
    # Without a timeout: with one, Python looks for the end only every 50 ms.
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _row(name: str, program: str, endpoint: str, base: float, arrived: Callable[[], int]) -> None:
    rounds = 1 if program is STOCK else 3
    times, waiting = [], 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            journal = str(Path(place) / "j")
            times.append(_run(program, endpoint, journal))
            waiting = count_waiting(journal, budget=10.0).spans if program is OURS else 0
    lost = SPANS - arrived() // rounds - waiting
    beyond = statistics.median(times) - base
    print(f"| {name} | {beyond:.2f} | {arrived() // rounds} | {waiting} | {lost} |", flush=True)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        base = statistics.median(_run(NOTHING, "", str(Path(place) / "j")) for _ in range(3))
    print("### Exit beside a collector\n\nSeconds beyond the same program without recording.\n")
    print("| case | s | arrived | waiting in the journal | lost |\n|---|---:|---:|---:|---:|")
    for name, program in (("stock SDK", STOCK), ("otel-workflow", OURS)):
        with _refused() as endpoint:
            _row(f"{name}, refused", program, endpoint, base, lambda: 0)
        with _black_hole() as endpoint:
            _row(f"{name}, black hole", program, endpoint, base, lambda: 0)
        with OtlpReceiver() as receiver:
            _row(f"{name}, healthy", program, receiver.endpoint, base, lambda r=receiver: len(r.span_ids))  # type: ignore[misc]
        with OtlpReceiver() as receiver, FaultProxy(receiver.endpoint) as proxy:
            proxy.latency(0.06)  # each way
            _row(f"{name}, healthy, 120 ms away", program, proxy.endpoint, base, lambda r=receiver: len(r.span_ids))  # type: ignore[misc]
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    with _refused() as endpoint:
        _row("otel-workflow over gRPC, refused", OURS, endpoint, base, lambda: 0)
    with _black_hole() as endpoint:
        _row("otel-workflow over gRPC, black hole", OURS, endpoint, base, lambda: 0)
    with OtlpReceiver(protocol="grpc") as receiver:
        _row("otel-workflow over gRPC, healthy", OURS, receiver.endpoint, base, lambda: len(receiver.span_ids))
    del os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
