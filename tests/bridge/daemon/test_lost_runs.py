"""A run on another machine, of which only its heartbeats are heard: alive, silent, lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon.addresses import parse_listen
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.intake import Intake
from tests.bridge.daemon.making import LOOPBACK, health, numbers, place_of, running, runs, total, until
from tests.endtoend.processes import Program

LOST_AFTER = 3.0


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """It does not see the journals of the runs, and counts a lost one at once."""
    assert Intake.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Intake.__init__.__kwdefaults__, "grace", 0.5)
    listen = (LOOPBACK, parse_listen("grpc://127.0.0.1:0"))
    with running(tmp_path / "state", listen=listen, lost_after=LOST_AFTER) as made:
        yield made


def elsewhere(daemon: Daemon, journal: Path, protocol: str) -> Program:
    """An open run that sends all it has to the daemon, every 0.2 s a heartbeat."""
    place = place_of(daemon, "grpc" if protocol == "grpc" else "http").place
    return Program(
        "beating",
        "plain",
        OW_JOURNAL=str(journal),
        OW_HEARTBEAT="0.2",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{place}",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )


def counted(daemon: Daemon, name: str) -> int:
    found: int = health(place_of(daemon))[name]
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_run_that_lives_is_not_lost_and_one_that_is_killed_is(daemon: Daemon, protocol: str, tmp_path: Path) -> None:
    with elsewhere(daemon, tmp_path / "journal", protocol) as program:
        program.hear()
        until(lambda: counted(daemon, "remote_runs") == 1)
        since = counted(daemon, "uptime")
        until(lambda: counted(daemon, "uptime") > since + 2 * LOST_AFTER, 30.0)
        assert (1, 0) == (counted(daemon, "remote_runs"), counted(daemon, "silent_runs"))
        assert 0 == runs(numbers(place_of(daemon)))
        program.process.send_signal(signal.SIGKILL)
        until(lambda: counted(daemon, "remote_runs") == 0, 30.0)
    found = numbers(place_of(daemon))
    assert (1, 1) == (runs(found), runs(found, "error"))
    assert 1 == total(found, "cicd_pipeline_run_errors_total", 'error_type="lost"')


def test_a_run_that_ends_as_it_should_is_counted_once_by_its_span(daemon: Daemon, tmp_path: Path) -> None:
    with elsewhere(daemon, tmp_path / "journal", "http/protobuf") as program:
        program.hear()
        until(lambda: counted(daemon, "remote_runs") == 1)
        program.tell()
        assert (0, "") == program.finish()[:2]
    until(lambda: counted(daemon, "remote_runs") == 0)
    found = numbers(place_of(daemon))
    assert (1, 1) == (runs(found), runs(found, "success"))


def test_a_machine_that_was_suspended_comes_back_to_life(daemon: Daemon, tmp_path: Path) -> None:
    """Within the grace; its run is shown as silent meanwhile."""
    daemon._counting.intake._grace = 600.0
    with elsewhere(daemon, tmp_path / "journal", "http/protobuf") as program:
        program.hear()
        until(lambda: counted(daemon, "remote_runs") == 1)
        program.process.send_signal(signal.SIGSTOP)
        until(lambda: counted(daemon, "silent_runs") == 1, 30.0)
        program.process.send_signal(signal.SIGCONT)
        until(lambda: counted(daemon, "silent_runs") == 0, 30.0)
        program.tell()
        program.finish()
    until(lambda: counted(daemon, "remote_runs") == 0)
    assert 1 == runs(numbers(place_of(daemon)), "success")
