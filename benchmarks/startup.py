"""What importing costs, in modules and in time, against OpenTelemetry's own API."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.timing import ROUNDS, table

__all__ = ("main",)

CASES = {
    "python -c pass": "pass",
    "import opentelemetry.trace": "import opentelemetry.trace",
    "import otel_workflow": "import otel_workflow",
    "otel_workflow.phase": "import otel_workflow; otel_workflow.phase",
    "otel_workflow.configure()": "import otel_workflow; otel_workflow.configure(journal='/tmp/ow-bench')",
    "import opentelemetry.sdk.trace": "import opentelemetry.sdk.trace",
    "import the stock OTLP/HTTP exporter": "import opentelemetry.exporter.otlp.proto.http.trace_exporter",
}


def main() -> None:
    """Print milliseconds of whole processes and the modules they load."""
    rounds: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS + 1):
        for name, program in CASES.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
            rounds[name].append((time.perf_counter() - began) * 1000)
    times = {name: statistics.median(took[1:]) for name, took in rounds.items()}
    table("Start-up, whole process", times, "import opentelemetry.trace", "ms")
    print("\n| case | modules |\n|---|---:|")
    for name, program in CASES.items():
        counted = subprocess.run(
            [sys.executable, "-c", f"{program}\nimport sys; print(len(sys.modules))"],
            check=True,
            capture_output=True,
            text=True,
        )
        print(f"| {name} | {counted.stdout.strip()} |")
