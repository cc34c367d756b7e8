from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.cli.backlog import look_at
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, Cursor, DeadLetters, JournalWriter
from otel_workflow.journal.record import SAMPLED, encode_event
from otel_workflow.report import load_runs
from tests.bridge.test_directory import line
from tests.cli.conftest import Cli

TRACE, SPAN = b"\x01" * 16, b"\x02" * 8


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    """A living writer whose segments are full after every record."""
    made = JournalWriter(str(tmp_path / "j"), lambda: {"version": 1, "resource": {}, "scope": {}}, seal_bytes=1)
    yield made
    made.close()


def say(writer: JournalWriter, transition: str, time_ns: int, **body: object) -> None:
    number = TRANSITIONS.index(transition)
    known = {"name": "compile", "start": 1, **body}
    assert writer.write(EVENT, encode_event(number, SAMPLED, TRACE, SPAN, bytes(8), time_ns, time_ns, known))


def test_a_living_process_with_several_segments_is_alive_in_all_of_them(writer: JournalWriter, tmp_path: Path) -> None:
    say(writer, "started", 1)
    say(writer, "progress", 2, seq=1)
    found = look_at(tmp_path / "j")
    assert len(found.sources) > 1
    assert (found.open_phases, found.waiting) == (1, 0)
    assert load_runs(tmp_path / "j")[0].outcome is None


def test_an_end_in_a_later_segment_is_no_interruption(writer: JournalWriter, tmp_path: Path) -> None:
    say(writer, "started", 1)
    say(writer, "completed", 5, seq=1, outcome="success")
    found = look_at(tmp_path / "j")
    assert (found.open_phases, found.waiting, found.oldest_ns) == (0, 1, 1)
    (run,) = load_runs(tmp_path / "j")
    assert (run.end_ns, run.top[0].interrupted) == (5, False)


def test_what_is_counted_in_too_little_time_is_a_lower_bound_and_says_so(ow: Cli) -> None:
    ow.record()
    found = look_at(ow.journal, budget=0.0)
    assert (found.complete, found.waiting) == (False, 0)
    assert (1, []) == (found.segments, found.sources)  # counted by name, and not one was opened
    assert (look_at(ow.journal).complete, look_at(ow.journal).waiting) == (True, 3)


def test_dropped_records_are_counted_by_reason_from_each_process_s_last_word(
    writer: JournalWriter, tmp_path: Path
) -> None:
    say(writer, "started", 1)
    assert not writer.write(EVENT, b"x" * (5 * 1024 * 1024))
    say(writer, "completed", 2, seq=1, outcome="success")
    writer.close()
    assert look_at(tmp_path / "j").dropped == {"too_large": 1}


def test_an_end_that_came_late_waits_as_a_correction_and_is_counted(writer: JournalWriter, tmp_path: Path) -> None:
    say(writer, "started", 1)
    say(writer, "completed", 5, seq=1, outcome="success")
    key = f"{TRACE.hex()}:{SPAN.hex()}"
    cursor = Cursor(tmp_path / "j", "traces")
    assert cursor.save({"sent": {key: time.time_ns()}})
    found = look_at(tmp_path / "j")
    assert (found.waiting, found.late_verdicts) == (1, 1)
    assert cursor.save({"sent": {key: time.time_ns(), f"{key}:correction": time.time_ns()}})
    found = look_at(tmp_path / "j")
    assert (found.waiting, found.late_verdicts) == (0, 1)


def test_what_a_shipper_has_delivered_is_not_read_again_and_the_books_say_the_same(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_workflow.bridge.directory._WORTH", 1)
    say(writer, "started", 1)
    assert not writer.write(EVENT, b"x" * (5 * 1024 * 1024))
    shipper = line(tmp_path / "j")
    assert shipper.drain(5.0)
    shipper.release()
    say(writer, "progress", 2, seq=1)
    books = []
    for checkpoint in (True, False):
        if not checkpoint:
            (tmp_path / "j" / "resume.json").unlink()
        found = look_at(tmp_path / "j")
        began = {source.name: source.began for source in found.sources}
        books.append((found.open_phases, found.waiting, found.dropped, found.kept_back, began, found.complete))
    assert books[0] == books[1]
    assert (1, 0, {"too_large": 1}) == books[0][:3]


def test_the_size_of_a_journal_includes_its_dead_letters(ow: Cli) -> None:
    ow.record()
    before = json.loads(ow("status", "--json").stdout)["bytes"]
    assert DeadLetters(ow.journal).put({"reason": "x" * 1000})
    assert before + 1000 < json.loads(ow("status", "--json").stdout)["bytes"]
