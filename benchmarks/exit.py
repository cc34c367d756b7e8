"""How long a process takes to end when its collector is gone, silent, or well.

One process makes a hundred spans and returns. The stock way is the SDK with its batch processor
and OTLP/HTTP exporter; ours is ``configure()``. Printed: seconds beyond the same work without
telemetry, which runs in turns with it, and what arrived or stayed to be sent later. *Waiting* is the
time between the last phase and the end of the process in which it did not work: all of it, less the
CPU time of its threads. In that is also what it waited for a core.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_workflow.bridge.directory import count_waiting
from otel_workflow.testing import FaultProxy, OtlpReceiver

__all__ = ("main",)

SPANS, ROUNDS = 100, 3
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
SAY = """
import os, time
os.write({}, b"%f %f" % (time.perf_counter(), time.process_time()))
"""
QUIET = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
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


def _run(program: str, endpoint: str, journal: str) -> tuple[float, float]:
    """Return how long it took, and how long of its end it only waited (s)."""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OW_JOURNAL": journal}
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    began = time.perf_counter()
    process = os.posix_spawn(
        sys.executable, [sys.executable, "-c", program + SAY.format(writing)], environ, file_actions=QUIET
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said, used = map(float, pipe.readline().split())
    _, status, usage = os.wait4(process, 0)
    ended = time.perf_counter()
    assert status == 0
    return ended - began, max(ended - said - (usage.ru_utime + usage.ru_stime - used), 0.0)


def _row(name: str, program: str, endpoint: str, arrived: Callable[[], int]) -> None:
    rounds = 1 if program is STOCK else ROUNDS
    times, waited, waiting = [], [], 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            base, _ = _run(NOTHING, "", str(Path(place) / "none"))
            journal = str(Path(place) / "j")
            took, idle = _run(program, endpoint, journal)
            times.append(took - base)
            waited.append(idle)
            waiting = count_waiting(journal, budget=10.0).spans if program is OURS else 0
    lost = SPANS - arrived() // rounds - waiting
    beyond, idle = statistics.median(times), statistics.median(waited)
    print(f"| {name} | {beyond:.2f} | {idle:.2f} | {arrived() // rounds} | {waiting} | {lost} |", flush=True)


def main() -> None:
    """Print the table."""
    print("### Exit beside a collector\n\nSeconds beyond the same program without recording.\n")
    print("| case | s | waiting, s | arrived | waiting in the journal | lost |\n|---|---:|---:|---:|---:|---:|")
    for name, program in (("stock SDK", STOCK), ("otel-workflow", OURS)):
        with _refused() as endpoint:
            _row(f"{name}, refused", program, endpoint, lambda: 0)
        with _black_hole() as endpoint:
            _row(f"{name}, black hole", program, endpoint, lambda: 0)
        with OtlpReceiver() as receiver:
            _row(f"{name}, healthy", program, receiver.endpoint, lambda r=receiver: len(r.span_ids))  # type: ignore[misc]
        with OtlpReceiver() as receiver, FaultProxy(receiver.endpoint) as proxy:
            proxy.latency(0.06)  # each way
            _row(f"{name}, healthy, 120 ms away", program, proxy.endpoint, lambda r=receiver: len(r.span_ids))  # type: ignore[misc]
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    with _refused() as endpoint:
        _row("otel-workflow over gRPC, refused", OURS, endpoint, lambda: 0)
    with _black_hole() as endpoint:
        _row("otel-workflow over gRPC, black hole", OURS, endpoint, lambda: 0)
    with OtlpReceiver(protocol="grpc") as receiver:
        _row("otel-workflow over gRPC, healthy", OURS, receiver.endpoint, lambda: len(receiver.span_ids))
    del os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
