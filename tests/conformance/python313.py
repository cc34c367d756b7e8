"""Find a Python 3.13 on this machine: crackerjack's bus runs on no older one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ("NoPython313", "python313")

_ASK = "import sys; print(*sys.version_info[:2])"


class NoPython313(Exception):
    """There is none, and where we looked."""


@cache
def python313() -> Path:
    """Return an interpreter that is one; a name on PATH may be a shim that only says it is."""
    tried = []
    for candidate in _candidates():
        tried.append(str(candidate))
        try:
            done = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, timeout=20, check=False)
        except OSError:
            continue
        if done.stdout.split() == ["3", "13"]:
            return Path(candidate)
    raise NoPython313(f"no Python 3.13 on this machine (tried {', '.join(tried) or 'nothing'}); install one")


def _candidates() -> Iterator[str | Path]:
    yield sys.executable
    yield from sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python"))
    if found := shutil.which("python3.13"):
        yield found
