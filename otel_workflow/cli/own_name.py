"""How to type this command here: a hint that does not run as it stands is no hint."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ("own_name",)


def own_name() -> str:
    """Return ``otel-workflow`` where the shell finds this one under that name, else a path to it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_typed(Path(sys.executable))} -m otel_workflow"
    return _typed(called)


def _typed(program: Path) -> str:
    """Return what a shell needs in order to start a program: its name, or a path to it."""
    found = shutil.which(program.name)
    if found is not None and Path(found).absolute() == program.absolute():
        return program.name
    relative = os.path.relpath(program)
    return shlex.quote(relative if not relative.startswith("..") else str(program.absolute()))
