"""The parts together, in one process: journals, restarts, the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon.addresses import parse_listen, parse_place
from otel_workflow.bridge.daemon.counting import Counting
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.heard import hear_traces
from otel_workflow.bridge.daemon.intake import Intake
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.errors import ConfigError
from tests.bridge.daemon.making import (
    LOOPBACK,
    ask,
    health,
    log_event,
    logs,
    numbers,
    place_of,
    post,
    run_span,
    running,
    runs,
    total,
    traces,
    until,
)
from tests.bridge.daemon.test_kills import through_journal

DUPLICATES = "otel_workflow_bridge_duplicates_total"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    made = tmp_path / "journal"
    made.mkdir()
    return made


def test_after_a_restart_nothing_is_told_again(tmp_path: Path, journal: Path) -> None:
    for number in range(1, 6):
        through_journal(journal, number, "success")
    with running(tmp_path / "state", journals=(journal,)) as daemon:
        until(lambda: runs(numbers(place_of(daemon))) == 5)
    through_journal(journal, 6, "success")
    with running(tmp_path / "state", journals=(journal,)) as daemon:
        until(lambda: runs(numbers(place_of(daemon))) == 6)
        assert 0 == numbers(place_of(daemon))[DUPLICATES]


def test_what_stands_in_the_journal_at_the_end_is_counted(tmp_path: Path, journal: Path) -> None:
    with running(tmp_path / "state", journals=(journal,)):
        through_journal(journal, 1, "failure")
    with running(tmp_path / "state") as daemon:
        assert 1 == runs(numbers(place_of(daemon)), "failure")


def test_several_journals_are_one_count(tmp_path: Path, journal: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    through_journal(journal, 1, "success")
    through_journal(other, 1, "success")
    through_journal(other, 2, "success")
    with running(tmp_path / "state", journals=(journal, other)) as daemon:
        until(lambda: numbers(place_of(daemon)).get(DUPLICATES) == 1)
        assert 2 == runs(numbers(place_of(daemon)))


def test_a_journal_that_cannot_be_read_is_said_and_the_others_are_read(tmp_path: Path, journal: Path) -> None:
    (tmp_path / "file").touch()
    through_journal(journal, 1, "success")
    with running(tmp_path / "state", journals=(tmp_path / "file", journal)) as daemon:
        until(lambda: runs(numbers(place_of(daemon))) == 1)
        [said] = health(place_of(daemon))["unreadable"]
        assert "OW-202" in said


def test_a_silent_remote_run_is_shown_and_an_end_takes_it_back(tmp_path: Path) -> None:
    with running(tmp_path, lost_after=0.0) as daemon:
        place = place_of(daemon)
        post(place, logs(log_event(7, "workflow.started")), "/v1/logs")
        until(lambda: health(place)["silent_runs"] == 1)
        until(lambda: total(numbers(place), "otel_workflow_bridge_silent_runs") == 1)
        post(place, traces(run_span(7)))
        until(lambda: health(place)["silent_runs"] == 0)
        assert (1, 1) == (runs(numbers(place)), runs(numbers(place), "success"))


def test_the_page_may_have_an_address_of_its_own(tmp_path: Path) -> None:
    metrics = parse_place("--metrics", "localhost:0")
    with running(tmp_path, listen=(LOOPBACK,), metrics=metrics) as daemon:
        listens, page = daemon.places
        assert 404 == ask(listens, "GET", "/metrics")[0]
        assert 404 == ask(page, "POST", "/v1/traces", b"")[0]
        assert (200, 200) == (ask(listens, "GET", "/healthz")[0], ask(page, "GET", "/metrics")[0])


def test_a_daemon_that_cannot_listen_leaves_nothing_open(tmp_path: Path) -> None:
    with running(tmp_path / "first") as first:
        taken = place_of(first)
        writer = MetricsWriter(tmp_path / "second")
        plan = Plan(state=tmp_path / "second", listen=(parse_listen("http://127.0.0.1:0"), taken))
        with pytest.raises(ConfigError, match="OW-150"):
            Daemon(plan, writer)
        writer.close()


def test_the_journal_is_told_what_is_committed(tmp_path: Path, journal: Path) -> None:
    said: list[dict[str, int]] = []

    class Consumer:
        def __init__(self, directory: Path) -> None:
            assert journal == directory

        def passed(self, positions: Mapping[str, int]) -> None:
            said.append(dict(positions))

    through_journal(journal, 1, "success")
    writer = MetricsWriter(tmp_path / "state")
    counting = Counting(writer, (journal,), make_intake=Intake, register=Consumer)
    counting.start()
    assert counting.stop(10.0)
    writer.close()
    [segment] = journal.glob("*.owj")
    assert {segment.name: segment.stat().st_size} == said[-1]


def test_nobody_is_answered_before_the_commit(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []
    writer = MetricsWriter(tmp_path)
    counting = Counting(writer, step=lambda name: seen.append((name, ticket.decided.is_set())))
    ticket = counting.submit(hear_traces(traces(run_span(7))))
    assert ticket is not None
    counting.turn()
    writer.close()
    assert [("told", False), ("committing", False), ("committed", False), ("answering", False)] == seen
    assert ticket.wait(0.0)


def test_while_the_state_cannot_be_read_nothing_is_lost(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path / "state", journals=(journal,)) as daemon:

        def broken(fact: object) -> bool:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(daemon._writer, "finished", broken)
        through_journal(journal, 1, "success")
        until(lambda: not health(place_of(daemon))["ok"])
        monkeypatch.undo()
        until(lambda: runs(numbers(place_of(daemon))) == 1)
        assert health(place_of(daemon))["ok"]
