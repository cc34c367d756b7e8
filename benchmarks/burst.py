"""What a burst costs and loses: phases in a tight loop, and a collector that takes 200 ms for each answer.

Three programs make equally many: one span object each and nothing else (what the loop itself
does on this machine), the stock SDK with its batch processor and OTLP/HTTP exporter, and ours.
After it ends, what ours left in the journal is shipped with ``otel-workflow ship``. Printed: how
many never arrived, the memory each program had at most beyond what it had before the loop, by
percentiles how long a single phase took, and how many took more than 5 ms; and the same for the shipping.

Those times are by the wall clock, and the machine's other work is in them. *Caused* is at most what we did
of them (``caused.py``): of each phase that took more than 1 ms, what it did not wait for a core,
and no more than the CPU time of the program's threads meanwhile. Full collections of the garbage
collector are counted beside it, since whoever makes objects pays for all others of the program.

``python -m benchmarks.burst 1000000``; 50,000 without an argument.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.caused import Delay, Meter, split

__all__ = ("main",)

COUNT = 50_000
ANSWER_AFTER = 0.2
SLOW_NS, STALL_NS = 1_000_000, 5_000_000
SHARES = (0.99, 0.999, 1.0)
MIB = 1 << 20


# ---- the collector, a process of its own ---------------------------------------------------


def receive(after: float) -> None:
    """Serve until stdin ends; each line in is answered with how many different spans came."""
    from otel_workflow.testing.http_server import HttpServer
    from otel_workflow.testing.port import HeldPort
    from otel_workflow.testing.received import Signal, raw_spans
    from otel_workflow.testing.reply import Reply

    ids: set[bytes] = set()
    came = [0]
    lock = threading.Lock()
    slow = Reply(after=after)

    def take(_signal: Signal, _path: str, _headers: Mapping[str, str], _raw: bytes, body: bytes) -> Reply:
        found = []
        for span in raw_spans(body):
            if b"run started" in span:
                continue  # the marker of a run of ten seconds and more
            assert span[18:20] == b"\x12\x08"  # after the trace id: the span id
            found.append(span[20:28])
        with lock:
            ids.update(found)
            came[0] += len(found)
        return slow

    port = HeldPort()
    server = HttpServer(take, port)
    print(port.number, flush=True)
    for _ in sys.stdin:
        print(json.dumps({"ids": len(ids), "came": came[0]}), flush=True)
    server.stop()


class Collector:
    """The process above; each answer comes after so many seconds."""

    def __init__(self, after: float = ANSWER_AFTER) -> None:
        command = [sys.executable, "-m", "benchmarks.burst", "receive", str(after)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.endpoint = f"http://127.0.0.1:{int(self._line())}"

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def count(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"?\n")
        self._process.stdin.flush()
        said: dict[str, int] = json.loads(self._line())
        return said

    def close(self) -> None:
        self._process.communicate()


# ---- the programs --------------------------------------------------------------------------


def _nothing() -> tuple[Callable[[], None], Callable[[], object]]:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("burst")

    def one() -> None:
        with tracer.start_as_current_span("work"):
            pass

    return one, lambda: None


def _stock() -> tuple[Callable[[], None], Callable[[], object]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("burst")

    def one() -> None:
        with tracer.start_as_current_span("work"):
            pass

    return one, provider.shutdown


def _ours() -> tuple[Callable[[], None], Callable[[], object]]:
    import otel_workflow as ow

    runtime = ow.configure(service_name="burst")
    run = ow.workflow("burst")
    run.__enter__()

    def one() -> None:
        with ow.phase("work"):
            pass

    def end() -> None:
        run.__exit__(None, None, None)
        runtime.shutdown()

    return one, end


PROGRAMS = {"span objects alone": _nothing, "stock SDK": _stock, "otel-workflow": _ours}


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def burst(name: str, count: int) -> None:
    """Make so many, and say what it cost as a line of JSON."""
    one, end = PROGRAMS[name]()
    for _ in range(100):
        one()
    took = array("Q", bytes(8 * (count - 100)))  # in memory before that is measured
    meter, slow, collections = Meter(), list[Delay](), _Collections()
    before = _rss()
    began = last = meter.read()
    for number in range(count - 100):
        one()
        now = meter.read()
        took[number] = now.wall - last.wall
        if took[number] > SLOW_NS:
            slow.append(Delay.between(last, now))
            now = meter.read()
        last = now
    seconds = (last.wall - began.wall) / 1e9
    collections.end()
    end()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ordered, caused = sorted(took), sorted(delay.caused for delay in slow)
    shares = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in SHARES]
    said = {
        "seconds": seconds,
        "added": max(after - before, 0),
        "stalls": sum(each > STALL_NS for each in ordered),
        "percentiles": shares,
        "caused": [caused[-1] if caused else 0, sum(each > STALL_NS for each in caused)],
        "split": split(delay for delay in slow if delay.wall > STALL_NS),
        "collections": [collections.count, collections.longest],
    }
    print(json.dumps(said))


class _Collections:
    """Counts full collections of the garbage collector, and the CPU time (ns) of the longest."""

    def __init__(self) -> None:
        self.count = self.longest = self._began = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = time.thread_time_ns()
        else:
            self.count += 1
            self.longest = max(self.longest, time.thread_time_ns() - self._began)

    def end(self) -> None:
        gc.callbacks.remove(self._note)


# ---- the table -----------------------------------------------------------------------------


def _environ(endpoint: str, journal: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OW_"))}
    return {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OW_JOURNAL": str(journal)}


def _ship(collector: Collector, journal: Path) -> str:
    """Send what is left, with all the time it takes; returns what that cost, in words."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "otel_workflow", "ship", "--deadline", "3600"]
    process = os.posix_spawn(sys.executable, command, _environ(collector.endpoint, journal))
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - began
    return f"Shipping the rest: {seconds:.1f} s, {usage.ru_maxrss // 1024} MiB at most, exit code {status >> 8}."


def _measure(name: str, count: int) -> list[str]:
    """Print a row; returns what is to be said below the table."""
    collector, notes = Collector(), []
    try:
        with tempfile.TemporaryDirectory() as place:
            journal = Path(place) / "journal"
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.burst", "run", name, str(count)],
                env=_environ(collector.endpoint, journal),
                stdout=subprocess.PIPE,
                check=True,
            )
            said: dict[str, Any] = json.loads(done.stdout)
            at_end, expected = collector.count()["ids"], count
            if name == "otel-workflow":
                expected += 1  # the run itself
                size = sum(each.stat().st_size for each in journal.rglob("*") if each.is_file())
                notes = [f"The journal when the program ended: {size / MIB:.0f} MiB.", _ship(collector, journal)]
            arrived = collector.count()
        lost = expected - arrived["ids"] if name != "span objects alone" else 0
        times = [f"{each / 1e6:.2f}" for each in said["percentiles"]]
        longest, over = said["caused"]
        collected, most = said["collections"]
        shares = " / ".join(f"{share:.0%}" for share in said["split"])
        print(
            f"| {name} | {count / said['seconds']:,.0f} | {at_end} | {arrived['ids']} | {lost}"
            f" | {arrived['came'] - arrived['ids']} | {said['added'] / MIB:.0f}"
            f" | {' / '.join(times)} | {said['stalls']} | {longest / 1e6:.2f} | {over}"
            f" | {shares} | {collected} ({most / 1e6:.1f}) |",
            flush=True,
        )
    finally:
        collector.close()
    return notes


def main(count: int = COUNT) -> None:
    """Print the table."""
    print(f"### {count:,} phases in a tight loop, each answer {ANSWER_AFTER:.1f} s late\n")
    print(
        "| program | phases/s | arrived by its end | arrived | lost | twice | MiB added"
        " | ms: p99 / p99.9 / longest | over 5 ms | caused: longest | over 5 ms"
        " | of those over 5 ms: own / other threads / waiting for a core / rest | full collections (longest ms) |"
    )
    print("|---|" + "---:|" * 13, flush=True)
    notes = [line for name in PROGRAMS for line in _measure(name, count)]
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive", after]:
            receive(float(after))
        case ["run", which, number]:
            burst(which, int(number))
        case [number]:
            main(int(number))
        case _:
            main()
