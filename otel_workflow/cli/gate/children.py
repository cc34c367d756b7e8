"""The gate's child processes: none outlives it, however it ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import otel_workflow

__all__ = ("Children", "Finished")


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a child: its exit code and what it said."""

    code: int
    said: str


class Children:
    """Starts Python programs in one directory; ``with`` kills what is left of them at its end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = threading.Lock()
        self._running: list[subprocess.Popen[str]] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill_all()

    def start(self, *words: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start ``python WORDS...``; it finds this very package, installed or not."""
        home = str(Path(otel_workflow.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [home, env.get("PYTHONPATH")]))
        with self._turn:
            if self._closed:
                raise KeyboardInterrupt
            child = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                [sys.executable, *words],
                cwd=self._directory,
                env={**env, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            self._running.append(child)
        return child

    def run(self, *words: str, env: Mapping[str, str]) -> Finished:
        """Start a program, wait for its end and return what it said."""
        child = self.start(*words, env=env)
        said, _ = child.communicate()
        return Finished(child.returncode, said.strip())

    def kill_all(self) -> None:
        """Kill what runs and start nothing any more."""
        with self._turn:
            self._closed = True
            running = list(self._running)
        for child in running:
            if child.poll() is None:
                with contextlib.suppress(OSError):
                    child.kill()
                child.wait()
