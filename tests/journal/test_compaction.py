"""Small segments of ended processes are put together, and nobody who reads sees a difference."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.journal import EVENT, JournalReader
from otel_workflow.journal.compaction import FEW, MARK, SMALL_BYTES, compact, finish
from otel_workflow.journal.liveness import is_alive
from otel_workflow.journal.pack import PACK, RUNS, members_of
from otel_workflow.journal.upkeep import Upkeep
from otel_workflow.journal.writer import RETIRED
from tests.journal.making import names, writer
from tests.journal.old_files import DAY, dead_segment, event, many, seen


def packs(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{PACK}"))


def test_a_reader_sees_the_same_before_and_after(tmp_path: Path) -> None:
    many(tmp_path, FEW, age=DAY // 2)
    dead_segment(tmp_path, 999, [event(999), event(998, run=True)], end="")
    before = seen(tmp_path)
    compact(tmp_path)
    assert ([packs(tmp_path)[0].name], before) == (names(tmp_path), seen(tmp_path))
    assert (0o600, FEW + 1) == (packs(tmp_path)[0].stat().st_mode & 0o777, len(members_of(packs(tmp_path)[0])))


def test_a_few_are_left_alone(tmp_path: Path) -> None:
    many(tmp_path, FEW - 1)
    compact(tmp_path)
    assert FEW - 1 == len(names(tmp_path))


def test_who_follows_a_segment_goes_on_in_the_pack_where_it_stopped(tmp_path: Path) -> None:
    many(tmp_path, FEW)
    reader = JournalReader(tmp_path)
    first, second, *_ = reader.segments()
    assert 3 == len(list(first.read()))
    reading = second.read()
    next(reading)
    position = second.position
    reading.close()
    compact(tmp_path)
    first, second, *_ = reader.segments()
    assert ([], "closed", True) == (list(first.read()), first.ended, first.is_final)
    assert position == second.position
    assert 2 == len(list(second.read()))


def test_the_living_the_locked_the_large_and_shell_lines_stay_as_they_are(tmp_path: Path) -> None:
    many(tmp_path, FEW)
    journal = writer(tmp_path, sync="never")
    journal.write(EVENT, event(7))
    large = dead_segment(tmp_path, 5_000, [event(1, text="x" * SMALL_BYTES)])
    locked = dead_segment(tmp_path, 5_001)
    elsewhere = dead_segment(tmp_path, 5_002, host="another", boot="another")
    (tmp_path / "abc.jsonl").write_text("")
    with locked.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        compact(tmp_path)
    left = {large.name, locked.name, elsewhere.name, "abc.jsonl", Path(str(journal.path)).name}
    assert left == set(names(tmp_path)) - {packs(tmp_path)[0].name}
    journal.close()


def test_a_segment_of_another_machine_is_packed_after_a_day_of_silence(tmp_path: Path) -> None:
    many(tmp_path, FEW, host="another", boot="another", age=2 * DAY)
    compact(tmp_path)
    assert 1 == len(names(tmp_path))


def test_members_are_dead_and_have_their_own_evidence(tmp_path: Path) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in many(tmp_path, FEW, end="", age=DAY)}
    compact(tmp_path)
    segments = JournalReader(tmp_path).segments()
    assert not any(map(is_alive, segments))
    assert times == {segment.path.name: segment.modified_ns() for segment in segments}


def test_segments_of_two_destinations_share_no_pack(tmp_path: Path) -> None:
    many(tmp_path, FEW, destination="a")
    for number in range(1_000, 1_000 + FEW):
        dead_segment(tmp_path, number, destination="b")
    compact(tmp_path)
    assert [{"a"}, {"b"}] == sorted({m.header["destination"] for m in members_of(pack)} for pack in packs(tmp_path))


def test_many_small_packs_become_one(tmp_path: Path) -> None:
    for first in range(FEW):
        for number in range(FEW):
            dead_segment(tmp_path, first * FEW + number + 1)
        compact(tmp_path)
    before = seen(tmp_path)
    assert FEW == len(packs(tmp_path))
    compact(tmp_path)
    assert (1, before) == (len(packs(tmp_path)), seen(tmp_path))


def test_what_is_stopped_goes_on_at_the_next_run(tmp_path: Path) -> None:
    many(tmp_path, FEW * 2)
    asked, before = iter([False] * (FEW + 10)), seen(tmp_path)
    assert Upkeep(tmp_path).run(lambda: next(asked, True))
    assert (1, before) == (len(packs(tmp_path)), seen(tmp_path))
    assert not Upkeep(tmp_path).run()
    assert before == seen(tmp_path)


@pytest.mark.slow
def test_20_000_small_segments_become_few_files_and_no_record_is_lost(tmp_path: Path) -> None:
    """The whole number with OW_TEST_SEGMENTS=20000; what a look costs then is in ``benchmarks/idle.py``."""
    many(tmp_path, int(os.environ.get("OW_TEST_SEGMENTS", "4000")))
    upkeep = Upkeep(tmp_path)
    before = {name: records for name, (_, _, records, _) in seen(tmp_path).items()}
    assert not upkeep.run()
    assert len(names(tmp_path)) < 150
    assert before == {name: records for name, (_, _, records, _) in seen(tmp_path).items()}


class Killed(BaseException):
    """As if the process had ended here."""


def killing(at: int, function: Callable[..., Any], counted: list[int]) -> Callable[..., Any]:
    def called(*arguments: Any, **options: Any) -> Any:
        counted[0] += 1
        if counted[0] == at:
            raise Killed
        return function(*arguments, **options)

    return called


def steps_of(monkeypatch: pytest.MonkeyPatch, at: int, work: Callable[[], object]) -> bool:
    """Do the work, killed before its n-th call that changes something; False when it ended before that."""
    counted = [0]
    with monkeypatch.context() as patched:
        for name in ("open", "rename", "unlink", "fdatasync", "fsync", "utime", "mkdir", "replace"):
            patched.setattr(os, name, killing(at, getattr(os, name), counted))
        try:
            work()
        except Killed:
            return True
    return False


def test_a_kill_between_any_two_steps_loses_nothing_and_shows_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_workflow.journal.compaction.FEW", 3)
    at = 0
    while True:
        at += 1
        place = tmp_path / str(at)
        many(place, 4)
        before = seen(place)
        killed = steps_of(monkeypatch, at, lambda place=place: compact(place))
        assert before == seen(place), at
        finish(place)
        compact(place)
        assert before == seen(place), at
        assert [] == [name for name in names(place) if name == MARK or name.endswith(".owj")], at
        if not killed:
            break
    assert at > 15


def test_a_call_that_fails_loses_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_workflow.journal.compaction.FEW", 3)
    for at in range(1, 40):
        place = tmp_path / str(at)
        many(place, 4)
        for number in range(10, 14):
            dead_segment(place / RETIRED, number)
        before, counted = seen(place), [0]

        def failing(function: Callable[..., Any], at: int = at, counted: list[int] = counted) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                counted[0] += 1
                if counted[0] >= at:
                    raise OSError(28, "no space")
                return function(*arguments, **options)

            return called

        with monkeypatch.context() as patched:
            for name in ("open", "rename", "unlink", "fdatasync", "utime", "replace"):
                patched.setattr(os, name, failing(getattr(os, name)))
            Upkeep(place).run()
        assert before == seen(place), at
        Upkeep(place).run()
        assert before == seen(place), at


def test_a_pack_with_a_damaged_member_record_loses_no_record(tmp_path: Path) -> None:
    many(tmp_path, FEW)
    before = {name: records for name, (_, _, records, _) in seen(tmp_path).items()}
    compact(tmp_path)
    [pack] = packs(tmp_path)
    data = bytearray(pack.read_bytes())
    data[40] ^= 1  # in the JSON that names the first member
    pack.write_bytes(data)
    assert before == {name: records for name, (_, _, records, _) in seen(tmp_path).items()}


def test_a_foreign_pack_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / f"x{PACK}").write_bytes(b"nothing of the kind")
    (tmp_path / f"{RUNS}y{PACK}").write_bytes(b"")
    reader = JournalReader(tmp_path)
    assert ([], {f"x{PACK}", f"{RUNS}y{PACK}"}) == (reader.segments(), set(reader.quarantined))
