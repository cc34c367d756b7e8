"""Dead letters: kept private, one file a day, bounded, and never a reason to fail."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from otel_workflow.journal import DeadLetters, read_dead_letters

DAY = 86_400_000_000_000


def test_letters_come_back_in_the_order_they_were_put(tmp_path: Path) -> None:
    clock = [DAY]
    letters = DeadLetters(tmp_path, now=lambda: clock[0])
    for number in range(3):
        clock[0] = DAY * (number + 1)
        assert letters.put({"reason": f"{number}"})
    assert ["1970-01-02.jsonl", "1970-01-03.jsonl", "1970-01-04.jsonl"] == sorted(
        path.name for path in letters.place.iterdir()
    )
    assert [{"time_ns": DAY * (n + 1), "reason": f"{n}"} for n in range(3)] == list(read_dead_letters(tmp_path))


def test_spool_at_rest_is_private(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.put({"reason": "no"})
    (file,) = letters.place.iterdir()
    assert [0o700, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (letters.place, file)]


def test_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "dead").symlink_to(elsewhere)
    assert not DeadLetters(tmp_path).put({"reason": "no"})
    assert [] == list(elsewhere.iterdir())


def test_a_full_directory_keeps_no_more(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, most=220)
    assert [True, True, False] == [letters.put({"reason": "x" * 60}) for _ in range(3)]
    assert 2 == len(list(read_dead_letters(tmp_path)))


def test_a_write_that_fails_half_way_leaves_no_half_line(tmp_path: Path, monkeypatch: object) -> None:
    import pytest

    letters = DeadLetters(tmp_path)
    letters.put({"reason": "first"})
    real = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: real(descriptor, line[:10]))
        assert not letters.put({"reason": "half"})
    assert letters.put({"reason": "last"})
    assert ["first", "last"] == [letter["reason"] for letter in read_dead_letters(tmp_path)]


def test_lines_that_do_not_parse_are_passed_over(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.put({"reason": "first"})
    (file,) = letters.place.iterdir()
    with file.open("ab") as end:
        end.write(b"{broken\n[]\n\xff\n")
    letters.put({"reason": "last"})
    assert ["first", "last"] == [letter["reason"] for letter in read_dead_letters(tmp_path)]
