"""Run a script in either environment, and tell what each bus keeps."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.environment import Environment, NotBuilt, original_environment
from tests.conformance.python313 import NoPython313

__all__ = ("HERE", "REASONS", "ROOT", "Verdicts", "environment_or_skip", "run", "verdicts_of")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REASONS = pytest.StashKey[list[str]]()
"""Why the original was not run."""

Verdicts = dict[str, tuple[str, str]]
"""By the name of each promise its words, and what was wrong ("" for kept)."""

_STEERING = ("PYTHON", "OW_", "OTEL_", "TRACE")


def run(python: str | Path, *arguments: str | Path, **environ: str) -> str:
    """Run a script with the package in reach and return what it printed; AssertionError with its last words."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STEERING)}
    done = subprocess.run(
        [str(word) for word in (python, *arguments)],
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def environment_or_skip(config: pytest.Config) -> Environment:
    """Return the original's environment; without a Python 3.13 the test is skipped, and the reason shown.

    One that cannot be built skips as well, but fails in CI, where nothing may go untested.
    """
    try:
        return original_environment()
    except NoPython313 as error:
        reason = str(error)
    except NotBuilt as error:
        reason = str(error)
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(reason)
    reasons = config.stash.setdefault(REASONS, [])
    if reason not in reasons:
        reasons.append(reason)
    pytest.skip(reason)


def verdicts_of(python: str | Path, *which: str | Path) -> Verdicts:
    """Hold one bus to all promises."""
    found: dict[str, Any] = json.loads(run(python, HERE / "driver.py", *which).splitlines()[-1])
    return {name: (words, wrong) for name, (words, wrong) in found.items()}
