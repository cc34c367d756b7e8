"""Who lives and who is dead: by the lock, by the pid, by silence; never by a guess."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.journal import EVENT, JournalReader, Segment, evidence_ns, is_alive, liveness
from otel_workflow.journal.probe import lock_is_free
from otel_workflow.journal.writer import HEADER, RETIRED, frame, process_identity, segment_name
from tests.journal.making import Program, events_of, writer

WRITER = """
    import sys
    from otel_workflow.journal import EVENT, JournalWriter
    journal = JournalWriter(sys.argv[1], lambda: {"version": 1}, seal_bytes=int(sys.argv[2]))
    written = 0
    while True:
        assert journal.write(EVENT, b"%d" % written)
        written += 1
        print(written)
        if written == 20:
            sys.stdin.readline()
    """


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Program]:
    """A process that has written twenty records and waits."""
    with Program(WRITER, tmp_path / "j", 1 << 20) as program:
        assert [str(n + 1) for n in range(20)] == [program.hear() for _ in range(20)]
        yield program


def only(directory: Path) -> Segment:
    [segment] = JournalReader(directory).segments()
    return segment


def planted(directory: Path, number: int = 1, **said: Any) -> Segment:
    """A segment that nobody holds, whose header says what a test wants."""
    directory.mkdir(exist_ok=True)
    header = {"version": 1, **process_identity(), "owner": "1-2-ab", "segment": number, **said}
    (directory / segment_name("1-2-ab", number)).write_bytes(frame(HEADER, 1, json.dumps(header).encode()))
    return JournalReader(directory).segments()[-1]


def test_a_living_writer_is_alive(living: Program, tmp_path: Path) -> None:
    segment = only(tmp_path / "j")
    assert (True, False) == (is_alive(segment), lock_is_free(segment.path))


def test_a_stopped_writer_is_alive(living: Program, tmp_path: Path) -> None:
    os.kill(living.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, living.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_alive(only(tmp_path / "j"))


def test_a_killed_writer_is_dead_and_its_lock_is_free_and_every_record_that_returned_is_read(tmp_path: Path) -> None:
    for turn, seal in enumerate((1 << 20, 2_000, 1 << 20, 3_000)):
        directory = tmp_path / str(turn)
        with Program(WRITER, directory, seal) as program:
            for _ in range(20):
                program.hear()
            program.say("go on")
            for _ in range(50 * turn):
                program.hear()
            program.process.kill()
            said = [line for line in program.rest() if line]
        returned = int(said[-1]) if said else 20 + 50 * turn
        read = events_of(directory)
        assert [b"%d" % number for number in range(len(read))] == read
        assert returned <= len(read) <= returned + 1
        last = JournalReader(directory).segments()[-1]
        assert (False, True) == (is_alive(last), lock_is_free(last.path))


def test_a_writer_that_closed_has_ended_though_its_process_lives(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"x")
    segment = only(tmp_path / "j")
    assert is_alive(segment)
    journal.close()
    assert [EVENT, 5] == [record.kind for record in segment.read()]
    assert not is_alive(segment)


def test_a_lock_that_a_child_without_hooks_kept_does_not_keep_the_dead_alive(tmp_path: Path) -> None:
    source = """
        import ctypes, os, sys
        from otel_workflow.journal import EVENT, JournalWriter
        journal = JournalWriter(sys.argv[1], lambda: {"version": 1}, sync="never")
        journal.write(EVENT, b"x")
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            sys.stdin.readline()
            os._exit(0)
        print(child)
        sys.stdin.readline()
        """
    with Program(source, tmp_path / "j") as program:
        child = int(program.hear())
        try:
            assert is_alive(only(tmp_path / "j"))
            program.process.kill()
            program.process.wait()
            segment = only(tmp_path / "j")
            assert (False, False) == (lock_is_free(segment.path), is_alive(segment))
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_free_lock_under_this_kernel_proves_death_in_any_container(tmp_path: Path) -> None:
    assert not is_alive(planted(tmp_path / "a", pid=1))
    assert not is_alive(planted(tmp_path / "b", pid=1, host="container-2", pid_namespace="pid:[7]"))


def test_whoever_ran_before_the_machine_started_anew_is_dead(tmp_path: Path) -> None:
    assert not is_alive(planted(tmp_path / "j", boot="an earlier one"))


def test_a_file_of_another_machine_is_dead_when_it_was_silent_for_half_a_minute(tmp_path: Path) -> None:
    segment = planted(tmp_path / "j", boot="another", host="another")
    assert is_alive(segment)
    now = time.time()
    for age, alive in ((29, True), (31, False), (-31, False)):
        os.utime(segment.path, (now - age, now - age))
        assert alive == is_alive(segment), age


def test_a_segment_whose_header_is_damaged_is_judged_by_silence(tmp_path: Path) -> None:
    segment = planted(tmp_path / "j")
    segment.header = {}
    assert is_alive(segment)
    os.utime(segment.path, (0, 0))
    assert not is_alive(segment)


def test_this_process_is_alive_whatever_its_lock_says_and_one_that_had_its_number_before_is_not(tmp_path: Path) -> None:
    assert is_alive(planted(tmp_path / "a"))
    assert not is_alive(planted(tmp_path / "b", start_ticks=1))


def test_a_pid_that_another_process_has_now_is_dead_though_somebody_holds_the_lock(tmp_path: Path) -> None:
    segment = planted(tmp_path / "j", pid=os.getppid(), start_ticks=1)
    with segment.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_alive(segment)


def test_a_process_that_cannot_be_looked_at_counts_as_alive_while_the_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = planted(tmp_path / "j", pid=os.getppid(), start_ticks=1)

    def hidden(self: Path, **options: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", hidden)
    with segment.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_alive(segment)
    segment.header["pid"] = "no number"
    with segment.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_alive(segment)


def test_a_file_that_may_not_be_opened_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = planted(tmp_path / "j", boot="another", host="another")

    def refuse(path: object) -> None:
        raise PermissionError

    monkeypatch.setattr("otel_workflow.journal.probe.open_regular", refuse)
    assert lock_is_free(segment.path) is None
    assert is_alive(segment)


def test_a_file_that_is_gone_is_dead_unless_its_process_lives_here(tmp_path: Path) -> None:
    stranger = planted(tmp_path / "a", boot="another", host="another")
    stranger.path.unlink()
    assert not is_alive(stranger)
    ours = planted(tmp_path / "b")
    ours.path.unlink()
    assert is_alive(ours)


def test_a_segment_that_was_left_for_a_newer_one_proves_nothing(tmp_path: Path) -> None:
    """Reading goes on in the newer one: only when that is read, too, may its phases be closed."""
    other = {"pid": 1, "start_ticks": 1}
    first = planted(tmp_path / "j", 1, **other)
    assert not is_alive(first)
    second = planted(tmp_path / "j", 2, **other)
    assert [True, False] == [is_alive(first), is_alive(second)]
    (tmp_path / "j" / RETIRED).mkdir()
    second.path.rename(tmp_path / "j" / RETIRED / second.path.name)
    assert not is_alive(first)
    planted(tmp_path / "j", 3, **other)
    assert is_alive(first)


def test_a_newer_segment_that_nobody_can_read_is_asked_for_its_lock_only(tmp_path: Path) -> None:
    first = planted(tmp_path / "j", 1, pid=1, start_ticks=1)
    (tmp_path / "j" / segment_name("1-2-ab", 2)).write_bytes(b"damaged")
    assert not is_alive(first)


def test_a_sealed_segment_of_a_living_process_is_alive(tmp_path: Path) -> None:
    with Program(WRITER, tmp_path / "j", 300) as program:
        for _ in range(20):
            program.hear()
        segments = JournalReader(tmp_path / "j").segments()
        for segment in segments:
            list(segment.read())
        assert ["sealed"] * (len(segments) - 1) + [""] == [segment.ended for segment in segments]
        assert len(segments) > 3
        assert {True} == {is_alive(segment) for segment in segments}


def test_a_copied_directory_is_dead_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"x")
    shutil.copytree(tmp_path / "j", tmp_path / "copy")
    here = {**process_identity(), "boot": "elsewhere", "host": "elsewhere"}
    monkeypatch.setattr(liveness, "_identity", lambda pid: here)
    segment = only(tmp_path / "copy")
    assert is_alive(segment)
    os.utime(segment.path, (0, 0))
    assert not is_alive(segment)
    journal.close()


def test_evidence_is_the_later_of_the_last_record_and_the_last_touch_at_home(tmp_path: Path) -> None:
    segment = planted(tmp_path / "j")
    os.utime(segment.path, ns=(5_000, 5_000))
    assert 5_000 == evidence_ns(segment)
    segment.last_ns = 9_000
    assert 9_000 == evidence_ns(segment)
    segment.last_ns = 1
    segment.header |= {"boot": "another", "host": "another"}
    assert 1 == evidence_ns(segment)
    segment.path.unlink()
    assert 1 == evidence_ns(segment)


def test_many_segments_are_judged_without_asking_who_we_are_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = [planted(tmp_path / str(number), pid=1, start_ticks=1) for number in range(20)]
    asked: list[int] = []
    monkeypatch.setattr(liveness, "process_identity", lambda: asked.append(1) or process_identity())
    liveness._identity.cache_clear()
    assert [False] * 20 == [is_alive(segment) for segment in segments]
    assert [1] == asked
