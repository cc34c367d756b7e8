from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver


@dataclass(frozen=True)
class Cli:
    """The command line in a process of its own, with an empty home and nothing set."""

    home: Path

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    def environ(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**kept, "HOME": str(self.home), "TZ": "UTC", "OW_JOURNAL": str(self.journal), **extra}

    def start(self, *words: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "otel_workflow", *words],
            cwd=self.home,
            env=self.environ(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        child = self.start(*words, **extra)
        out, err = child.communicate(timeout=60)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, child.returncode, out, err)

    def python(self, source: str, **extra: str) -> subprocess.Popen[str]:
        """Start a program that uses the library."""
        return subprocess.Popen(
            [sys.executable, "-c", source],
            cwd=self.home,
            env=self.environ(**extra),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def record(self, name: str = "nightly", *, green: bool = True, **extra: str) -> None:
        """Record a run of two phases."""
        source = f"""
import otel_workflow as ow
with ow.workflow({name!r}):
    with ow.phase("compile") as p:
        {"pass" if green else 'p.fail("2 files do not parse")'}
    with ow.phase("test"):
        pass
"""
        child = self.python(source, **extra)
        child.communicate(timeout=60)
        assert child.returncode == 0


@pytest.fixture
def ow(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def killed_worker(ow: Cli) -> Callable[[], None]:
    """Returns a call that records a run whose process is killed in the middle of a phase."""

    def kill() -> None:
        child = ow.python(
            "import time\nimport otel_workflow as ow\n"
            "with ow.workflow('deploy'), ow.phase('upload'):\n    print('open', flush=True)\n    time.sleep(60)\n"
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        child.kill()
        child.communicate()

    return kill
