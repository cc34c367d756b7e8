"""The published bus itself is followed, in its own environment, in its first and its last version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from otel_workflow.report import load_runs, tree_text
from tests.conformance.environment import VERSIONS, Environment
from tests.conformance.running import ROOT, environment_or_skip, run

SCRIPT = Path(__file__).parent / "real.py"


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    """The environment with the original in it."""
    return environment_or_skip(pytestconfig)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("version", VERSIONS)
def test_its_events_become_a_run(version: str, how: str, environment: Environment, tmp_path: Path) -> None:
    """Attached before or after its import; no subscription and no result of ours appears at the engine."""
    said = run(environment.python, SCRIPT, environment.site(version), how, OW_JOURNAL=str(tmp_path))
    [found] = load_runs(tmp_path)

    assert "0 0 0" == said.splitlines()[-1]
    assert [
        "gate failure: Fast hooks execution failed",
        "  Fast Hooks failure: Fast hooks execution failed",
        "    fast failure",
        "      ruff failure",
    ] == [line.replace(" 0s", "") for line in tree_text(found).splitlines()]


def test_what_was_published_survives_a_death_in_a_handler(environment: Environment, tmp_path: Path) -> None:
    """The event is written before the original's handlers have ended."""
    done = subprocess.run(
        [environment.python, SCRIPT, environment.site("0.46.4"), "killed"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "OW_JOURNAL": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    [found] = load_runs(tmp_path)
    assert (-9, "gate") == (done.returncode, found.name)
    assert found.root is not None
    assert found.root.interrupted
