from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_workflow.errors import JournalError
from otel_workflow.events import Outcome
from otel_workflow.report import load_runs, tree_text

FINISHED = """
import otel_workflow as ow
with ow.workflow("nightly"):
    with ow.phase("compile") as p:
        p.fail("2 files do not parse")
    for number in range(20):
        with ow.phase(f"step {number}"):
            pass
"""
KILLED = """
import time
import otel_workflow as ow
with ow.workflow("nightly"):
    with ow.phase("compile"):
        print("open", flush=True)
        time.sleep(60)
"""


def program(source: str, journal: Path) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OW_", "TRACE"))}
    environ = {**clean, "OW_JOURNAL": str(journal)}
    return subprocess.Popen([sys.executable, "-c", source], env=environ, stdout=subprocess.PIPE, text=True)


def finished(journal: Path) -> Path:
    """Record a run that ends, and return its only segment."""
    program(FINISHED, journal).communicate()
    (segment,) = journal.glob("*.owj")
    return segment


def test_a_directory_that_does_not_exist_holds_no_runs(tmp_path: Path) -> None:
    assert load_runs(tmp_path / "nowhere") == []


def test_a_finished_run_is_read_back(tmp_path: Path) -> None:
    finished(tmp_path / "j")
    (run,) = load_runs(tmp_path / "j")
    assert (run.name, run.outcome, len(list(run.walk()))) == ("nightly", Outcome.FAILURE, 22)
    assert "compile failure 0s: 2 files do not parse" in tree_text(run)


def test_retired_segments_are_read_too(tmp_path: Path) -> None:
    segment = finished(tmp_path / "j")
    (tmp_path / "j" / "retired").mkdir()
    segment.rename(tmp_path / "j" / "retired" / segment.name)
    assert [run.name for run in load_runs(tmp_path / "j")] == ["nightly"]


def test_phases_of_a_living_process_are_open_and_those_of_a_killed_one_interrupted(tmp_path: Path) -> None:
    worker = program(KILLED, tmp_path / "j")
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "open\n"
        (run,) = load_runs(tmp_path / "j")
        assert run.outcome is None
        assert tree_text(run) == "nightly running\n  compile running"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    (run,) = load_runs(tmp_path / "j")
    assert run.outcome is Outcome.ERROR
    assert tree_text(run) == "nightly error 0s: killed\n  compile error 0s: killed"


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_damage_costs_the_records_it_touched_and_raises_nothing(tmp_path: Path, at: float) -> None:
    segment = finished(tmp_path / "j")
    data = bytearray(segment.read_bytes())
    place = int(len(data) * at)
    data[place : place + 40] = b"\xff" * 40
    segment.write_bytes(data)
    (run,) = load_runs(tmp_path / "j")
    assert len(list(run.walk())) >= 20


def test_every_torn_tail_is_read_up_to_the_tear(tmp_path: Path) -> None:
    segment = finished(tmp_path / "j")
    data = segment.read_bytes()
    for length in range(0, len(data), 97):
        segment.write_bytes(data[:length])
        assert len(load_runs(tmp_path / "j")) <= 1


def test_files_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    finished(tmp_path / "j")
    (tmp_path / "j" / "stranger.owj").write_bytes(b"not a segment")
    (tmp_path / "j" / "empty.owj").write_bytes(b"")
    (tmp_path / "j" / "folder.owj").mkdir()
    assert len(load_runs(tmp_path / "j")) == 1


def test_a_directory_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(JournalError, match=r"OW-202: .*--journal"):
        load_runs(file)
