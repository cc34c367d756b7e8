"""How we measure: cases take turns in every round, medians over rounds, ratios to a base.

On a shared machine absolute times mean little; a slow moment hits all cases of a round alike.
``BENCH_ROUNDS`` (default 7) and ``BENCH_SCALE`` (default 1) make a run shorter or longer.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence

__all__ = ("CASES", "ROUNDS", "SCALE", "in_turns", "table")

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
CASES = Sequence[tuple[str, Callable[[], object]]]


def _per_call(function: Callable[[], object], calls: int) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.process_time_ns()
        for _ in range(calls):
            function()
        return (time.process_time_ns() - began) / calls / 1000
    finally:
        gc.enable()


def in_turns(cases: CASES, calls: int) -> dict[str, float]:
    """Return the median CPU time of one call in microseconds, by case."""
    count = max(int(calls * SCALE), 1)
    for _, function in cases:
        _per_call(function, max(count // 10, 1))
    rounds: dict[str, list[float]] = {name: [] for name, _ in cases}
    for _ in range(ROUNDS):
        for name, function in cases:
            rounds[name].append(_per_call(function, count))
    return {name: statistics.median(times) for name, times in rounds.items()}


def table(title: str, times: dict[str, float], base: str, unit: str = "µs") -> None:
    """Print a Markdown table of times and ratios to the base case."""
    print(f"### {title}\n")
    print(f"Python {platform.python_version()}, median of {ROUNDS} rounds, cases in turn.\n")
    print(f"| case | {unit} | ratio |\n|---|---:|---:|")
    for name, value in times.items():
        print(f"| {name} | {value:.2f} | {value / times[base]:.2f} |")
    print()
