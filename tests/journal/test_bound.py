"""Spool bound reached: the oldest go first, runs last, and every record that goes is counted."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from otel_workflow.journal import EVENT, Cursor, JournalReader
from otel_workflow.journal.bound import size_of
from otel_workflow.journal.ledger import FULL, Ledger
from otel_workflow.journal.pack import PACK, RUNS
from otel_workflow.journal.retention import KEPT_NS, QUARANTINE, clear_leftovers, delete_old, set_aside
from otel_workflow.journal.upkeep import Upkeep, keeper
from otel_workflow.journal.writer import MAGIC, RETIRED
from tests.journal.making import events_of, names, writer
from tests.journal.old_files import DAY, SECOND, dead_segment, event, many, seen
from tests.journal.test_compaction import steps_of

BIG = "x" * 2_000


def dropped(directory: Path) -> int:
    return Ledger(directory).dropped.get(FULL, 0)


def test_spool_bound_reached_the_oldest_go_first_and_are_counted(tmp_path: Path) -> None:
    paths = [dead_segment(tmp_path, n, [event(n, text=BIG)], age=(20 - n) * SECOND) for n in range(1, 11)]
    Upkeep(tmp_path, size_of(tmp_path) - 1).run()
    assert [path.name for path in paths[1:]] == [name for name in names(tmp_path) if name.endswith(".owj")]
    assert {FULL: 1} == Ledger(tmp_path).dropped
    Upkeep(tmp_path, 4_000).run()
    assert (10, 4_000) >= (dropped(tmp_path), size_of(tmp_path))
    assert 10 == dropped(tmp_path) + len(events_of(tmp_path))


def test_what_was_retired_goes_before_what_was_not_sent_and_is_no_loss(tmp_path: Path) -> None:
    old = dead_segment(tmp_path, 1, [event(1, text=BIG)], age=DAY)
    (tmp_path / QUARANTINE).mkdir()
    (tmp_path / QUARANTINE / "foreign").write_bytes(b"x" * 500)
    retired = dead_segment(tmp_path / RETIRED, 2, [event(2, text=BIG)])
    Upkeep(tmp_path, size_of(tmp_path) - 1).run()
    assert (True, False, ["foreign"], {}) == (
        old.exists(),
        retired.exists(),
        names(tmp_path / QUARANTINE),
        Ledger(tmp_path).dropped,
    )


def test_the_records_of_runs_go_last(tmp_path: Path) -> None:
    for number in range(1, 6):
        run = [event(number, run=True), event(number, "completed", run=True, at=number + 1)]
        dead_segment(tmp_path, number, [run[0], *(event(100, text=BIG) for _ in range(9)), run[1]])
    Upkeep(tmp_path, 10_000).run()
    kept = [payload for payload in events_of(tmp_path) if payload[2] & 8]
    assert (10, 45) == (len(kept), dropped(tmp_path))
    assert {"job 0", "job 1", "job 2"} == {
        segment.header["resource"]["service.name"] for segment in JournalReader(tmp_path).segments()
    }
    assert all(name.startswith(RUNS) for name in names(tmp_path) if name.endswith(PACK))
    Upkeep(tmp_path, 1).run()
    assert ([], 55) == (events_of(tmp_path), dropped(tmp_path))


def test_what_was_acknowledged_is_not_counted_again(tmp_path: Path) -> None:
    path = dead_segment(tmp_path, 1)
    [segment] = JournalReader(tmp_path).segments()
    ends = [record.end for record in segment.read()]
    Cursor(tmp_path, "traces").save({"acknowledged": {path.name: ends[1]}})
    Upkeep(tmp_path, 1).run()
    assert (False, 0) == (path.exists(), dropped(tmp_path))


def test_an_open_phase_that_goes_is_a_loss_although_its_start_was_read(tmp_path: Path) -> None:
    path = dead_segment(tmp_path, 1, [event(1)], end="")
    Cursor(tmp_path, "traces").save({"acknowledged": {path.name: path.stat().st_size}})
    Upkeep(tmp_path, 1).run()
    assert 1 == dropped(tmp_path)


def test_packs_go_too_and_their_records_are_counted(tmp_path: Path) -> None:
    many(tmp_path, 100)
    Upkeep(tmp_path).run()
    assert 1 == len(list(tmp_path.glob(f"*{PACK}")))
    Upkeep(tmp_path, 1).run()
    assert ([], 200) == (events_of(tmp_path), dropped(tmp_path))


def test_what_is_still_written_to_never_goes(tmp_path: Path) -> None:
    journal = writer(tmp_path, sync="never")
    journal.write(EVENT, event(1, text=BIG))
    Upkeep(tmp_path, 1).run()
    assert (1, 0) == (len(events_of(tmp_path)), dropped(tmp_path))
    journal.close()
    Upkeep(tmp_path, 1).run()
    assert (0, 1) == (len(events_of(tmp_path)), dropped(tmp_path))


def test_a_living_process_drops_its_own_sealed_segments_and_the_books_balance(tmp_path: Path) -> None:
    directory = tmp_path / "j"
    journal = writer(directory, seal_bytes=20_000, upkeep=keeper(str(directory), 60_000))
    for number in range(500):
        assert journal.write(EVENT, event(number + 1, text=BIG))
    deadline = time.monotonic() + 20
    while size_of(directory) > 90_000 and time.monotonic() < deadline:
        time.sleep(0.05)
        journal.write(EVENT, event(1, text=BIG))
    journal.close()
    assert size_of(directory) <= 90_000
    assert journal.written == len(events_of(directory)) + dropped(directory)


def test_upkeep_in_a_writer_stops_when_the_program_wants_to_end(tmp_path: Path) -> None:
    asked: list[bool] = []

    def slow(stop: object, sealed: bool) -> None:
        asked.append(sealed)
        deadline = time.monotonic() + 20
        while not stop() and time.monotonic() < deadline:  # type: ignore[operator]
            time.sleep(0.005)

    journal = writer(tmp_path, upkeep=slow)
    journal.write(EVENT, event(1))
    deadline = time.monotonic() + 20
    while not asked and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    journal.close()
    assert ([False], True) == (asked, time.monotonic() - began < 10)


def test_one_warning_a_minute_whichever_process_drops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(3):
        dead_segment(tmp_path, number + 1)
        Upkeep(tmp_path, 1).run()
    [said] = [record.getMessage() for record in caplog.records]
    assert "dropped 2 records" in said
    assert "OW_JOURNAL_MAX (1 bytes)" in said


def test_a_kill_between_any_two_steps_leaves_exact_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        place = tmp_path / str(at)
        for number in range(1, 4):
            dead_segment(place, number, [event(number, run=True), event(number + 10), event(number + 20)])
        killed = steps_of(monkeypatch, at, lambda place=place: Upkeep(place, 1_600).run())
        distinct = set(events_of(place))
        assert 9 == dropped(place) + len(distinct), at
        Upkeep(place, 1_600).run()
        distinct = set(events_of(place))
        assert 9 == dropped(place) + len(distinct), at
    assert at > 15


def test_the_bound_without_room_for_its_books_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, 5)
    before = seen(tmp_path)
    monkeypatch.setattr(Cursor, "save", lambda *_: False)
    Upkeep(tmp_path, 1).run()
    assert before == seen(tmp_path)


def test_retired_segments_are_kept_a_week(tmp_path: Path) -> None:
    old, young = dead_segment(tmp_path / RETIRED, 1, age=8 * DAY), dead_segment(tmp_path / RETIRED, 2, age=6 * DAY)
    waiting = dead_segment(tmp_path, 3, age=8 * DAY)
    assert 1 == delete_old(tmp_path, time.time_ns())
    assert (False, True, True, {}) == (old.exists(), young.exists(), waiting.exists(), Ledger(tmp_path).dropped)
    assert 1 == delete_old(tmp_path, time.time_ns() + KEPT_NS)


def test_left_overs_go_after_an_hour_and_nothing_else_does(tmp_path: Path) -> None:
    gone = [".1a-7-ab-000001.owj", ".18ea-7-ab.owp", ".traces.cursor.123-7f00", ".upkeep.json.1-2"]
    kept = [".compacting", ".hidden", "traces.cursor", "1a-7-ab-000001.owj", ".cursor.txt"]
    for name in gone + kept:
        (tmp_path / name).write_text("x")
    assert 0 == clear_leftovers(tmp_path, time.time_ns())
    assert len(gone) == clear_leftovers(tmp_path, time.time_ns() + 2 * 3_600 * SECOND)
    assert sorted(kept) == names(tmp_path)


def test_a_foreign_or_newer_file_is_set_aside_when_nobody_writes_to_it(tmp_path: Path) -> None:
    newer, foreign = tmp_path / "1a-7-ab-000001.owj", tmp_path / "notes.owj"
    newer.write_bytes(MAGIC[:3] + b"\x02" + b"x" * 50)
    foreign.write_bytes(b"dear diary")
    reader = JournalReader(tmp_path)
    assert [] == reader.segments()
    assert 0 == set_aside(tmp_path, reader.quarantined)  # just written
    for path in (newer, foreign):
        os.utime(path, ns=(1, 1))
    (tmp_path / "pipe.owj").symlink_to("/dev/null")
    assert 2 == set_aside(tmp_path, [*reader.quarantined, "pipe.owj", "gone.owj"])
    assert (["1a-7-ab-000001.owj", "notes.owj"], 0o700) == (
        names(tmp_path / QUARANTINE),
        (tmp_path / QUARANTINE).stat().st_mode & 0o777,
    )
    foreign.write_bytes(b"another")
    os.utime(foreign, ns=(1, 1))
    assert 1 == set_aside(tmp_path, ["notes.owj"])
    assert 3 == len(names(tmp_path / QUARANTINE))


def test_upkeep_is_due_once_a_minute_and_by_one_process_at_a_time(tmp_path: Path) -> None:
    first, second = Upkeep(tmp_path), Upkeep(tmp_path)
    assert (True, False) == (first.is_due(), Upkeep(tmp_path / "gone").is_due())
    assert first.lock.acquire()
    dead_segment(tmp_path, 1)
    second.max_bytes = 1
    assert not second.run()
    assert 2 == len(events_of(tmp_path))
    assert not first.run()
    assert (False, True, True) == (second.is_due(), second.is_due(every=0.0), first.lock.held)
    first.lock.release()
