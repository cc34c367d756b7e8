"""Whoever used crackerjack's bus changes one import line and keeps working."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conformance.environment import Environment
from tests.conformance.running import HERE, run

BEFORE = "from crackerjack.events.workflow_bus import WorkflowEvent, WorkflowEventBus"
AFTER = "from otel_workflow import WorkflowEvent, WorkflowEventBus"


def changed(to: Path) -> Path:
    """Copy the usage with the one line changed."""
    before = (HERE / "usage.py").read_text(encoding="utf-8").splitlines(keepends=True)
    after = [line.replace(BEFORE, AFTER) for line in before]
    assert 1 == sum(old != new for old, new in zip(before, after, strict=True))
    copy = to / "usage.py"
    copy.write_text("".join(after), encoding="utf-8")
    return copy


def test_one_changed_import_line_is_all(environment: Environment, tmp_path: Path) -> None:
    """The same program prints the same, on the original and on ours."""
    theirs = run(environment.python, HERE / "original.py", environment.site("0.46.4"), HERE / "usage.py")
    ours = run(sys.executable, changed(tmp_path))
    assert theirs == ours
    assert "HOOK_STRATEGY_FAILED (comprehensive)" in ours


def test_the_changed_program_runs_without_the_original(tmp_path: Path) -> None:
    """Also where there is no Python 3.13."""
    said = run(sys.executable, changed(tmp_path)).splitlines()
    assert "['fast', 'comprehensive']" in said
    assert ["True False"] == [line for line in said if line.startswith("True")]
