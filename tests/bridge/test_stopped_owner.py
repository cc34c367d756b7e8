"""A process that is stopped is silent, and lives: nothing of its is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import SegmentSource, sources_of
from otel_workflow.journal import JournalReader

SLOW = bool(os.environ.get("OW_TEST_SLOW"))
CHILD = """
import sys
import otel_workflow as ow
with ow.workflow("nightly"):
    with ow.phase("compile"):
        print("open", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with an open run and an open phase, which ends when it hears a line."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "OW_"))}
    environment["OW_JOURNAL"] = str(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def is_stopped(pid: int) -> bool:
    """True when the kernel says that the process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "wait",
    [0, pytest.param(60, marks=pytest.mark.skipif(not SLOW, reason="a real minute: OW_TEST_SLOW=1"))],
)
def test_owner_alive_but_stuck_stays_open_for_a_minute_of_sigstop_and_is_not_closed_twice(
    child: subprocess.Popen[str], tmp_path: Path, wait: int
) -> None:
    ahead = [0]
    pump = Pump(now=lambda: time.time_ns() + ahead[0])
    reader, known = JournalReader(tmp_path), dict[str, SegmentSource]()

    def look() -> list[str]:
        pump.read(sources_of(reader, known))
        return [Span.FromString(waiting.span).name for waiting in pump.waiting]

    assert [] == look()
    child.send_signal(signal.SIGSTOP)
    while not is_stopped(child.pid):
        time.sleep(0.001)
    time.sleep(wait)
    ahead[0] = 60_000_000_000 if not wait else 0
    assert ["run started"] == look()
    assert 2 == len(pump.store.phases)
    assert all(phase.is_open for phase in pump.store.phases.values())
    child.send_signal(signal.SIGCONT)
    child.communicate("go on\n", timeout=60)
    assert ["run started", "compile", "RUN nightly"] == look()
    assert ["run started", "compile", "RUN nightly"] == look()
    results = [Span.FromString(waiting.span).events[-1].name for waiting in pump.waiting if not waiting.key]
    assert (["phase.completed", "workflow.completed"], 0) == (results, pump.late_verdicts)
