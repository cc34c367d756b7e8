"""Runs the benchmarks, or those named: ``python -m benchmarks phase exit``."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "phase",
    "startup",
    "exit",
    "encode",
    "bus",
    "truth",
    "burst",
    "masking",
    "metrics",
    "idle",
    "memory",
    "loop_lag",
    "bridge",
    "takeover",
    "restart",
    "status",
)


def main(names: list[str]) -> int:
    """Run each in turn; 2 for a name that is not one."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()
        print(flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
