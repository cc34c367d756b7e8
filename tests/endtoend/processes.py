"""Runs the programs of this folder: start, listen, tell, kill, wait; with a deadline for everything."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

__all__ = ("Ended", "Program", "clean_environment")

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEADLINE = 20.0
_STEERING = ("OW_", "GRPC_", "OTEL_", "GITHUB_", "CI", "RUNNER_", "TRACE", "XDG_", "PYTEST")


class Ended(NamedTuple):
    """What became of a program: its exit code (negative for a signal) and its last words."""

    code: int
    stderr: str
    seconds: float


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would steer a program's telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STEERING)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


class Program:
    """One running program of ``programs/``; killed at the end of the block if it still runs.

    Warnings are errors in it, above all the one about threads that live while it forks.
    """

    def __init__(self, name: str, *arguments: str, **env: str) -> None:
        self._started = time.monotonic()
        self._unread = b""
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(HERE / "programs" / f"{name}.py"), *arguments],
            env=clean_environment(**env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its children too
        self.process.wait(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def hear(self) -> dict[str, Any]:
        """Return what the program says next; TimeoutError with its stderr when it stays silent."""
        heard = self._line(time.monotonic() + DEADLINE)
        if heard is None:
            raise TimeoutError(f"the program said nothing more: {self._last_words()}")
        facts: dict[str, Any] = json.loads(heard)
        return facts

    def hear_all(self) -> list[dict[str, Any]]:
        """Return everything the program says until all who hold its stdout have ended."""
        end = time.monotonic() + DEADLINE
        said = []
        while (line := self._line(end)) is not None:
            said.append(json.loads(line))
        return said

    def _line(self, end: float) -> bytes | None:
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            if not select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0.0))[0]:
                raise TimeoutError("the program is silent")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        assert self.process.stderr is not None
        self.process.wait(DEADLINE)
        return self.process.stderr.read().decode(errors="replace")

    def tell(self, line: str = "go") -> None:
        """Let the program go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def finish(self, kill: signal.Signals | None = None) -> Ended:
        """Wait for its end, after a signal if one is given."""
        if kill is not None:
            self.process.send_signal(kill)
        _, stderr = self.process.communicate(timeout=DEADLINE)
        return Ended(self.process.returncode, stderr.decode(errors="replace"), time.monotonic() - self._started)
