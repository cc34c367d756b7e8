"""A daemon that kills itself: ``python -m tests.bridge.daemon.killed STATE JOURNAL STEP N`` dies at the N-th STEP.

Without a step it is an ordinary one. It says its port when it listens, and ends with its stdin.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.metrics import MetricsWriter
from tests.bridge.daemon.making import LOOPBACK


class Death:
    """Comes at the N-th time that a step was done."""

    def __init__(self, step: str, number: int) -> None:
        self._step, self._left = step, number

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                time.sleep(0.03)  # what other threads would do now, they have done: an answer given too early is out
                os.kill(os.getpid(), signal.SIGKILL)


def main(state: Path, journal: Path, step: str, number: int) -> None:
    """Run until stdin is closed."""
    plan = Plan(state=state, journals=(journal,), listen=(LOOPBACK,), metrics=LOOPBACK)
    daemon = Daemon(plan, MetricsWriter(state), step=Death(step, number))
    daemon.start()
    print(daemon.places[0].port, flush=True)
    sys.stdin.read()
    daemon.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
