"""How soon a shipper that waits sends, when the one that has the directory is killed."""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from otel_workflow.testing import OtlpReceiver

TRIALS = 20
RECORD = "import otel_workflow as ow\nwith ow.workflow('w'), ow.phase('p'): pass"


def main() -> None:
    """Print the seconds from SIGKILL to the other's request, beside those of a shipper that starts anew."""
    waits, starts = [], []
    for _ in range(TRIALS):
        with tempfile.TemporaryDirectory() as directory:
            waits.append(_takeover(Path(directory)))
        with tempfile.TemporaryDirectory() as directory:
            starts.append(_start(Path(directory)))
    print(f"takeover of a killed shipper's directory, {TRIALS} kills (s)")
    for name, seconds in (("the one that waited", waits), ("a new one, from its start", starts)):
        middle, most = statistics.median(seconds), max(seconds)
        print(f"  {name:28} median {middle:.2f}   most {most:.2f}")
    print(f"  ratio of the medians         {statistics.median(waits) / statistics.median(starts):.2f}")


def _takeover(directory: Path) -> float:
    with OtlpReceiver() as receiver:
        receiver.script("hang")
        env = _record(directory, receiver)
        with _ship(directory, env) as first, _ship(directory, env) as second:
            assert receiver.wait_for_requests(1)
            said, _, _ = select.select([first.stderr, second.stderr], [], [], 20)  # the one that waits says so
            waiting = second if said == [second.stderr] else first
            holder = first if waiting is second else second
            time.sleep(1.0)  # until it looks as rarely as it ever will
            holder.kill()
            begun = time.monotonic()
            return _until_sent(receiver, begun, 2)


def _start(directory: Path) -> float:
    with OtlpReceiver() as receiver:
        env = _record(directory, receiver)
        begun = time.monotonic()
        with _ship(directory, env):
            return _until_sent(receiver, begun, 1)


def _until_sent(receiver: OtlpReceiver, begun: float, requests: int) -> float:
    assert receiver.wait_for_requests(requests)
    return time.monotonic() - begun


def _record(directory: Path, receiver: OtlpReceiver) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OW_"))}
    env = {**kept, "OW_JOURNAL": str(directory)}
    subprocess.run([sys.executable, "-c", RECORD], env=env, check=True)
    return {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}


def _ship(directory: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    words = ["ship", "--deadline", "30", "--journal", str(directory)]
    return subprocess.Popen([sys.executable, "-m", "otel_workflow", *words], env=env, stderr=subprocess.PIPE)


if __name__ == "__main__":
    main()
