"""What is said at the end of a process, and by ``ship``, of what waits: a number, or at least how many."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from otel_workflow import runtime
from otel_workflow.bridge.destination import Destination
from otel_workflow.cli.shipping import Shipped
from otel_workflow.cli.verbs.ship import _report
from otel_workflow.runtime.delivery import PATIENCE
from otel_workflow.settings import Settings
from tests.journal.old_files import dead_segment, event

WHERE = Destination("http://127.0.0.1:9/v1/traces")


def _said(directory: Path, budget: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> str:
    monkeypatch.setattr(runtime, "_COUNT_SECONDS", budget)
    recorder: Any = SimpleNamespace(journal=SimpleNamespace(directory=directory))
    runtime.Runtime(recorder, Settings.read({}), WHERE)._say_what_waits()
    return caplog.messages[-1]


def test_a_process_that_could_not_count_all_that_waits_says_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = ([event(each), event(each, "completed", at=each + 1)] for each in range(1, 3001))
    dead_segment(tmp_path, 1, [payload for pair in pairs for payload in pair])
    assert " at least 512 spans wait for http" in _said(tmp_path, 0.0, monkeypatch, caplog)
    assert ": 3000 spans wait for http" in _said(tmp_path, 60.0, monkeypatch, caplog)


@pytest.mark.parametrize(("complete", "least"), [(True, ""), (False, "at least ")])
def test_ship_says_at_least_where_it_stopped_to_count(
    complete: bool, least: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _report(Shipped(waiting=5, stopped="deadline", elsewhere=3, complete=complete), tmp_path, WHERE, as_json=False)
    waits, others = capsys.readouterr().err.splitlines()
    assert waits.startswith(f"{least}5 spans still waiting: time ran out; ")
    assert others.startswith(f"{least}3 spans recorded for another endpoint stay in ")


def test_all_that_an_exit_waits_for_fits_into_what_we_promise() -> None:
    """exit while the collector is down or silent: patience, then counting what waits."""
    assert PATIENCE + runtime._COUNT_SECONDS <= 0.3
