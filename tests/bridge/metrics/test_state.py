"""What is on disk: counted once through restarts, one writer, damage, a full disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_workflow.bridge.metrics import Limits, MetricsWriter
from otel_workflow.errors import StateError
from tests.bridge.metrics.making import (
    START_NS,
    Clock,
    phase_finished,
    run_began,
    run_finished,
    samples,
    scrape,
)

Open = Callable[..., MetricsWriter]
FINISHED = 'otel_workflow_run_finished_total{cicd_pipeline_name="ci"}'
STARTED = 'otel_workflow_run_started_total{cicd_pipeline_name="ci"}'
DUPLICATES = "otel_workflow_bridge_duplicates_total{}"
LATE = "otel_workflow_bridge_late_verdicts_total{}"
DAY = 86_400


def dropped(reason: str) -> str:
    return f'otel_workflow_bridge_dropped_total{{otel_workflow_drop_reason="{reason}"}}'


def settled(writer: MetricsWriter) -> dict[str, float]:
    """The page once everything on it is born."""
    writer.commit()
    scrape(writer)
    return samples(writer.page().body)


def test_nothing_is_shown_before_it_is_committed(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1))
    assert FINISHED not in samples(writer.page().body)
    assert 1 == settled(writer)[FINISHED]
    writer.finished(run_finished(2))
    assert 1 == scrape(writer)[FINISHED]


def test_an_end_is_counted_once_whoever_brings_it_and_however_often(open_writer: Open) -> None:
    writer = open_writer()
    assert writer.finished(run_finished(1))
    assert not writer.finished(run_finished(1, "failure"))
    writer.commit()
    assert not writer.finished(run_finished(1))
    assert 1 == settled(writer)[FINISHED]
    writer = open_writer()
    assert not writer.finished(run_finished(1))
    page = settled(writer)
    assert (1, 1, 3) == (page[FINISHED], page[STARTED], page[DUPLICATES])


def test_what_was_not_committed_is_counted_when_it_comes_again(open_writer: Open) -> None:
    open_writer().finished(run_finished(1))
    writer = open_writer()
    assert writer.finished(run_finished(1))
    page = settled(writer)
    assert (1, 0) == (page[FINISHED], page[DUPLICATES])


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("began_first", [False, True])
def test_a_start_and_an_end_count_one_run_in_either_order(
    open_writer: Open, *, began_first: bool, reopened: bool
) -> None:
    writer = open_writer()
    queued = START_NS - 3_000_000_000
    steps = [
        lambda: writer.began(run_began(1, queued=queued)),
        lambda: writer.finished(run_finished(1, queued_ns=queued)),
    ]
    for step in steps if began_first else reversed(steps):
        step()
        if reopened:
            writer.commit()
            writer = open_writer()
    page = settled(writer)
    pending = 'cicd_pipeline_run_duration_seconds_count{cicd_pipeline_name="ci",cicd_pipeline_run_state="pending"}'
    active = 'cicd_pipeline_run_active{cicd_pipeline_name="ci",cicd_pipeline_run_state="executing"}'
    assert (1, 1, 1, 0) == (page[STARTED], page[FINISHED], page[pending], page[active])


def test_a_real_end_after_one_that_was_inferred_is_one_late_verdict_and_no_second_count(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1, "error", "lost", interrupted=True))
    writer.commit()
    writer = open_writer()
    for _ in range(2):
        assert not writer.finished(run_finished(1, "success"))
    page = settled(writer)
    assert (1, 1, 1) == (page[FINISHED], page[LATE], page[DUPLICATES])


def test_an_inferred_end_after_the_real_one_is_a_duplicate(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1, "success"))
    writer.finished(run_finished(1, "error", "lost", interrupted=True))
    page = settled(writer)
    assert (1, 0, 1) == (page[FINISHED], page[LATE], page[DUPLICATES])


def test_keys_are_forgotten_after_eight_days_and_what_comes_then_is_dropped_not_counted_twice(
    open_writer: Open, clock: Clock, tmp_path: Path
) -> None:
    """Duplicated, reordered, late by days: idempotent, and late beyond retention dropped with a count."""
    writer = open_writer()
    writer.finished(run_finished(1))
    ahead = START_NS + 2 * DAY * 1_000_000_000  # by a clock that is two days ahead
    writer.finished(run_finished(2, start=ahead))
    writer.commit()
    clock.advance(7.9 * DAY)
    assert not writer.finished(run_finished(1))
    clock.advance(0.3 * DAY)
    writer.commit()
    assert [1] == keys(tmp_path)
    writer = open_writer()  # without what the one before had in memory
    assert not writer.finished(run_finished(1))
    assert not writer.finished(run_finished(2, start=ahead))
    clock.advance(2.1 * DAY)
    writer.commit()
    assert [0] == keys(tmp_path)
    writer = open_writer()
    assert not writer.finished(run_finished(2, start=ahead))
    page = settled(writer)
    assert (2, 2, 2) == (page[FINISHED], page[DUPLICATES], page[dropped("too_old")])


def keys(tmp_path: Path) -> list[int]:
    with sqlite3.connect(tmp_path / "state" / "metrics.sqlite") as database:
        return [row[0] for row in database.execute("SELECT count(*) FROM seen")]


def test_a_run_that_lasts_longer_than_its_key_is_not_counted_as_started_twice(open_writer: Open, clock: Clock) -> None:
    writer = open_writer()
    writer.began(run_began(1))
    writer.commit()
    clock.advance(9 * DAY)
    writer.commit()
    writer = open_writer()
    assert [START_NS] == [run.start_ns for run in writer.active()]
    assert writer.finished(run_finished(1, took=9 * DAY))
    page = settled(writer)
    assert (1, 1) == (page[STARTED], page[FINISHED])


def test_cursors_are_committed_with_what_was_read_up_to_them(open_writer: Open) -> None:
    writer = open_writer()
    writer.set_cursor("journal:a", {"one": 7, "two": 1 << 40})
    writer.set_cursor("otlp", {"x": 1})
    assert {} == writer.cursor("journal:a")
    writer.commit()
    assert {"one": 7, "two": 1 << 40} == writer.cursor("journal:a")
    writer.set_cursor("journal:a", {"two": 9})
    writer = open_writer()  # killed before the commit
    assert {"one": 7, "two": 1 << 40} == writer.cursor("journal:a")
    writer.set_cursor("journal:a", {"two": 9})
    writer.commit()
    writer = open_writer()
    assert ({"two": 9}, {"x": 1}) == (writer.cursor("journal:a"), writer.cursor("otlp"))


def test_a_second_writer_is_refused_and_gets_the_state_when_the_first_is_gone(tmp_path: Path) -> None:
    first = MetricsWriter(tmp_path)
    with pytest.raises(StateError, match=r"OW-140: .*kept by another bridge.*--state"):
        MetricsWriter(tmp_path)
    first.close()
    MetricsWriter(tmp_path).close()


def test_a_killed_writer_leaves_no_lock_and_all_it_committed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from otel_workflow.bridge.metrics import *\n"
        "w = MetricsWriter(sys.argv[1], now=lambda: 1_700_000_000_000_000_000)\n"
        "f = lambda n: w.finished(Finished('%032x' % n, '%016x' % n, True, 'ci', '', 'run', 'success', None,"
        " 1_700_000_000_000_000_000, 1_700_000_000_000_000_001))\n"
        "for n in range(1, 8): f(n); w.commit()\n"
        "f(9); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert -9 == done.returncode
    writer = MetricsWriter(tmp_path, now=Clock())
    assert [False] * 7 + [True] == [writer.finished(run_finished(n)) for n in (1, 2, 3, 4, 5, 6, 7, 9)]
    assert 8 == settled(writer)[FINISHED]
    writer.close()


def test_the_file_is_private(open_writer: Open, tmp_path: Path) -> None:
    settled(open_writer())
    for path in (tmp_path / "state").glob("metrics.sqlite*"):
        assert 0o600 == path.stat().st_mode & 0o777, path
    assert 0o700 == (tmp_path / "state").stat().st_mode & 0o777


def test_a_file_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    MetricsWriter(tmp_path).close()
    path = tmp_path / "metrics.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"OW-141: .*version 99"):
        MetricsWriter(tmp_path)
    assert before == path.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_said_with_a_remedy_as_a_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError, match=r"OW-142: .*--state"):
        MetricsWriter(tmp_path / "state")


def test_a_place_that_is_no_directory_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match=r"OW-142: .*cannot be opened: .*--state"):
        MetricsWriter(tmp_path / "state")


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def damage_row(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE series SET data = '[[1],0.5,[]]' WHERE id = 3")
    database.close()


@pytest.mark.parametrize("damage", [damage_header, damage_middle, damage_row])
def test_a_damaged_file_is_set_aside_and_what_ended_before_is_not_counted_again(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    writer = MetricsWriter(tmp_path)  # by the real clock: the new file remembers when it began
    writer.finished(run_finished(1, start=writer._now()))
    writer.commit()
    before = run_finished(1, start=writer._now(), took=0)
    writer.close()
    damage(tmp_path / "metrics.sqlite")
    with caplog.at_level(logging.WARNING, "otel_workflow"):
        writer = MetricsWriter(tmp_path)
    assert ["is damaged"] == [word for word in ("is damaged",) if word in caplog.text]
    assert 1 == len([path for path in tmp_path.glob("*.damaged-*") if not path.name.endswith(("-wal", "-shm"))])
    assert not writer.finished(before)
    assert writer.finished(run_finished(2, start=writer._now()))
    page = settled(writer)
    assert (1, 1) == (page[FINISHED], page[dropped("before_reset")])
    writer.close()
    MetricsWriter(tmp_path).close()


def test_a_full_disk_is_said_nothing_is_shown_and_the_next_commit_has_it_all(open_writer: Open) -> None:
    writer = open_writer()
    assert 0 == settled(writer)[DUPLICATES]
    database = writer._state._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 400):
        writer.finished(run_finished(number))
    with pytest.raises(StateError, match=r"OW-143: .*full"):
        writer.commit()
    assert FINISHED not in scrape(writer)
    assert not writer.finished(run_finished(7)), "it waits to be committed: a second one is a duplicate"
    database.execute("PRAGMA max_page_count = 1000000")
    assert 399 == settled(writer)[FINISHED]


def test_a_release_that_the_disk_did_not_take_is_tried_again(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1))
    writer.commit()
    writer._state._database.execute("PRAGMA query_only = 1")
    assert [0, 0] == [scrape(writer)[FINISHED] for _ in range(2)]
    writer._state._database.execute("PRAGMA query_only = 0")
    assert [0, 1] == [scrape(writer)[FINISHED] for _ in range(2)]


def test_trouble_that_is_not_the_files_own_sets_nothing_aside(tmp_path: Path) -> None:
    MetricsWriter(tmp_path).close()
    with sqlite3.connect(tmp_path / "metrics.sqlite") as database:
        database.execute("ALTER TABLE active RENAME TO other")
    database.close()
    with pytest.raises(StateError, match=r"OW-142: .*no such table"):
        MetricsWriter(tmp_path)
    assert [] == list(tmp_path.glob("*.damaged-*"))


def test_threads_that_tell_commit_and_read_at_once_lose_nothing(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, now=Clock())
    told, pages = threading.Event(), []

    def tell(first: int) -> None:
        for number in range(first, first + 500):
            writer.finished(run_finished(number))
            if number % 50 == 0:
                writer.commit()

    def read() -> None:
        while not told.is_set():
            pages.append(scrape(writer).get(FINISHED, 0))

    tellers = [threading.Thread(target=tell, args=(first,)) for first in (1, 251, 751)]  # 250 runs twice
    reader = threading.Thread(target=read)
    for thread in (reader, *tellers):
        thread.start()
    for thread in tellers:
        thread.join()
    told.set()
    reader.join()
    page = settled(writer)
    assert (1250, 1250, 250) == (page[FINISHED], page[STARTED], page[DUPLICATES])
    assert pages == sorted(pages)
    writer.close()


def test_active_runs_survive_with_their_last_sign_of_life(open_writer: Open, clock: Clock) -> None:
    writer = open_writer()
    writer.began(run_began(1))
    writer.began(run_began(2))
    writer.alive(f"{1:032x}", START_NS + 5)
    writer.alive(f"{99:032x}", START_NS + 5)
    writer.commit()
    writer.alive(f"{2:032x}", START_NS + 9)
    writer = open_writer()
    assert {1: START_NS + 5, 2: START_NS} == {int(run.trace_id, 16): run.heard_ns for run in writer.active()}
    clock.advance(60)
    page = samples(writer.page().body)
    assert 2 == page['cicd_pipeline_run_active{cicd_pipeline_name="ci",cicd_pipeline_run_state="executing"}']
    assert 60 == page['otel_workflow_run_oldest_active_seconds{cicd_pipeline_name="ci"}']
    writer.finished(run_finished(1))
    writer.finished(run_finished(2))
    page = settled(writer)
    assert 0 == page['cicd_pipeline_run_active{cicd_pipeline_name="ci",cicd_pipeline_run_state="executing"}']
    assert 0 == page['otel_workflow_run_oldest_active_seconds{cicd_pipeline_name="ci"}']
    assert [] == open_writer().active()


def test_more_active_runs_than_may_be_known_are_still_counted(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(active=2))
    for number in range(1, 6):
        writer.began(run_began(number))
    writer.commit()
    assert 2 == len(writer.active())
    for number in range(1, 6):
        writer.finished(run_finished(number))
    page = settled(writer)
    assert (5, 5, []) == (page[STARTED], page[FINISHED], writer.active())


def test_ids_that_are_no_hex_are_keys_all_the_same(open_writer: Open) -> None:
    writer = open_writer()
    odd = phase_finished(1).__class__("trace", "span\udc80", True, "ci", "", "run", "success", None, START_NS, START_NS)
    assert [True, False] == [writer.finished(odd) for _ in range(2)]
    assert 1 == settled(writer)[FINISHED]
