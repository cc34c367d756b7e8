"""Row: disk full / EIO / EROFS. What the disk does not take waits in memory and goes there when it is back."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.journal import EVENT, SPAN, JournalReader, LastingWriter
from otel_workflow.journal import writer as writing
from tests.journal.making import Program, events_of, header, names, open_segments
from tests.journal.test_faults import each_call_failing, small_disk

__all__ = ("small_disk",)


def lasting(directory: Path, **options: Any) -> LastingWriter:
    return LastingWriter(str(directory), header, **options)


def until(true: Callable[[], object]) -> None:
    """Wait for the writer's thread."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


class Failing:
    """``os.write`` that takes nothing while ``error`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = 0
        self.calls = 0
        self._write = os.write
        monkeypatch.setattr(writing.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        self.calls += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self._write(fd, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


def test_a_full_disk_costs_nothing_when_it_is_back(small_disk: Path) -> None:
    said: list[str] = []
    journal = lasting(small_disk / "j", trouble=said.append)
    payloads = [b"%06d" % number + b"x" * 500 for number in range(1_500)]
    for payload in payloads:
        journal.write(EVENT, payload)
    assert journal.kept > 500
    assert (1_500, {}) == (journal.written + journal.kept, journal.dropped)
    until(lambda: said)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    until(lambda: not journal.kept)
    assert journal.write(EVENT, b"after")
    journal.close()
    assert [*payloads, b"after"] == events_of(small_disk / "j")
    assert (["disk_full"], 1_501) == (said, journal.written)


def test_a_read_only_file_system_costs_nothing_when_it_is_written_to_again(small_disk: Path) -> None:
    journal = lasting(small_disk / "j")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert not journal.write(EVENT, b"1")
    assert (1, 0) == (journal.kept, journal.written)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    until(lambda: not journal.kept)
    journal.close()
    assert [b"1"] == events_of(small_disk / "j")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_what_comes_meanwhile_waits_behind_and_order_is_kept(tmp_path: Path, disk: Failing, error: int) -> None:
    journal = lasting(tmp_path / "j")
    assert journal.write(EVENT, b"0")
    disk.error = error
    assert not journal.write(EVENT, b"1")
    disk.error = 0
    for number in range(2, 200):
        journal.write(EVENT, b"%d" % number)
    journal.close()
    assert [b"%d" % number for number in range(200)] == events_of(tmp_path / "j")
    assert {} == journal.dropped


def test_while_the_disk_fails_no_record_costs_the_program_an_operation_of_it(tmp_path: Path, disk: Failing) -> None:
    journal = lasting(tmp_path / "j", sync="never")  # its thread looks once a second
    journal.write(EVENT, b"0")
    disk.error = errno.EIO
    journal.write(EVENT, b"1")
    before = disk.calls
    for _ in range(5_000):
        journal.write(EVENT, b"x")
    assert disk.calls - before < 10
    disk.error = 0
    journal.close()
    assert 5_002 == len(events_of(tmp_path / "j"))


def test_the_usual_way_costs_no_more_than_the_plain_writers(tmp_path: Path) -> None:
    assert "write" not in vars(LastingWriter)  # the very same function, and the same branches in it
    journal = lasting(tmp_path / "j", sync="never")
    journal.write(EVENT, b"0")
    assert (False, journal._process.descriptor) == (journal._memory.failing, journal._process.descriptor)
    assert journal._process.descriptor is not None
    journal.close()


def test_memory_is_bounded_and_what_falls_out_is_counted(tmp_path: Path, disk: Failing) -> None:
    journal = lasting(tmp_path / "j", kept_bytes=10_000)
    disk.error = errno.ENOSPC
    for number in range(100):
        journal.write(EVENT, b"%03d" % number + b"x" * 997)
    kept = journal.kept
    assert 5 < kept < 11
    assert {"memory_full": 100 - kept} == journal.dropped
    disk.error = 0
    journal.close()
    assert [b"%03d" % number for number in range(100 - kept, 100)] == [e[:3] for e in events_of(tmp_path / "j")]


def test_a_removed_directory_comes_back_with_all_that_was_in_the_segment(tmp_path: Path) -> None:
    journal = lasting(tmp_path / "j")
    for number in range(100):
        journal.write(EVENT, b"%d" % number)
    [segment] = names(tmp_path / "j")
    shutil.rmtree(tmp_path / "j")
    journal.write(EVENT, b"100")
    until((tmp_path / "j" / segment).exists)
    journal.write(EVENT, b"101")
    journal.close()
    assert [b"%d" % number for number in range(102)] == events_of(tmp_path / "j")
    [read] = JournalReader(tmp_path / "j").segments()
    assert (segment, [segment]) == (read.path.name, names(tmp_path / "j"))
    assert [] == open_segments()


def test_a_directory_removed_just_before_the_end_is_noticed_at_the_end(tmp_path: Path) -> None:
    journal = lasting(tmp_path / "j", sync="never")
    journal.write(EVENT, b"0")
    shutil.rmtree(tmp_path / "j")
    journal.close()
    assert [b"0"] == events_of(tmp_path / "j")


def test_a_project_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    said: list[str] = []
    journal = lasting(tmp_path / "project" / "j", trouble=said.append)
    journal.write(EVENT, b"0")
    shutil.rmtree(tmp_path / "project")
    until(lambda: said)
    journal.write(EVENT, b"1")
    journal.close()
    assert (False, 1) == ((tmp_path / "project").exists(), journal.kept)
    assert [] == open_segments()


def test_another_process_sees_the_owner_alive_while_its_disk_fails(tmp_path: Path, disk: Failing) -> None:
    journal = lasting(tmp_path / "j")
    journal.write(EVENT, b"0")
    disk.error = errno.EIO
    journal.write(EVENT, b"1")
    look = """
        import sys
        from otel_workflow.journal import JournalReader, is_alive
        print([is_alive(segment) for segment in JournalReader(sys.argv[1]).segments()], flush=True)
    """
    with Program(look, tmp_path / "j") as other:
        assert "[True]" == other.hear()
    disk.error = 0
    journal.close()


def test_a_forked_child_neither_writes_nor_holds_what_its_parent_keeps(tmp_path: Path, disk: Failing) -> None:
    journal = lasting(tmp_path / "j")
    journal.write(EVENT, b"parent 0")
    disk.error = errno.EIO
    journal.write(EVENT, b"parent 1")
    child = os.fork()
    if not child:
        disk.error = 0
        done = journal.kept == 0 and journal.write(EVENT, b"child") and len(open_segments()) == 1
        journal.close()
        os._exit(0 if done else 1)
    assert 0 == os.waitpid(child, 0)[1]
    disk.error = 0
    until(lambda: not journal.kept)
    journal.close()
    assert [b"child", b"parent 0", b"parent 1"] == sorted(events_of(tmp_path / "j"))


def test_a_signal_handler_may_write_while_the_disk_fails(tmp_path: Path, disk: Failing) -> None:
    journal, heard = lasting(tmp_path / "j"), 0

    def handler(*_: object) -> None:
        nonlocal heard
        heard += 1
        journal.write(EVENT, b"handler")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(6_000):
            disk.error = errno.ENOSPC if number // 500 % 2 else 0
            journal.write(EVENT, b"main")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    disk.error = 0
    journal.close()
    found = events_of(tmp_path / "j")
    assert (6_000, heard, {}) == (found.count(b"main"), found.count(b"handler"), journal.dropped)


def test_a_delivered_span_is_not_written_again_but_an_event_is(tmp_path: Path, disk: Failing) -> None:
    journal = lasting(tmp_path / "j", sync="never")
    disk.error = errno.ENOSPC
    for kind, payload in ((EVENT, b"1"), (SPAN, b"2"), (SPAN, b"3")):
        journal.write(kind, payload)
    assert [(1, EVENT, b"1"), (2, SPAN, b"2"), (3, SPAN, b"3")] == journal.lent(0)
    journal.was_delivered(2)
    assert 1 == journal.undelivered
    disk.error = 0
    journal.close()
    [segment] = JournalReader(tmp_path / "j").segments()
    assert [b"1", b"3"] == [record.payload for record in segment.read() if record.kind in (EVENT, SPAN)]


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EROFS])
def test_whichever_call_fails_once_nothing_is_lost_and_for_ever_all_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, *, for_ever: bool
) -> None:
    for fail_at, directory, journal in each_call_failing(tmp_path, monkeypatch, lasting, error, for_ever=for_ever):
        read = len(events_of(directory)) if directory.exists() else 0
        assert (12, {}) == (journal.written + journal.kept, journal.dropped), fail_at
        assert journal.written == read, fail_at
        assert for_ever or not journal.kept, fail_at
        assert [] == open_segments(), fail_at
    assert fail_at > 40


def test_who_kept_a_record_but_has_not_let_go_of_the_segment_yet_costs_no_second_segment(tmp_path: Path) -> None:
    """The instant between keeping and stalling, in which the writer's thread may look."""
    journal = lasting(tmp_path / "j", sync="never")
    journal.write(EVENT, b"0")
    journal._memory.rows.append((EVENT, b"1"))
    journal._look_after(journal._process)
    assert journal.write(EVENT, b"2")
    journal.close()
    assert ([b"0", b"1", b"2"], 1) == (events_of(tmp_path / "j"), len(names(tmp_path / "j")))
    assert [] == open_segments()


def test_many_threads_lose_nothing_and_keep_each_its_order_while_the_disk_comes_and_goes(
    tmp_path: Path, disk: Failing
) -> None:
    journal, each = lasting(tmp_path / "j", seal_bytes=20_000), 3_000

    def work(name: bytes) -> None:
        for number in range(each):
            journal.write(EVENT, b"%s %d" % (name, number))

    workers = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for worker in workers:
        worker.start()
    number = 0
    while any(worker.is_alive() for worker in workers):
        number += 1
        disk.error = (0, errno.ENOSPC, 0, errno.EIO)[number % 4]
        time.sleep(0.003)
    disk.error = 0
    journal.close()
    found = [payload.split() for payload in events_of(tmp_path / "j")]
    assert (4 * each, 4 * each, {}) == (journal.written, len(found), journal.dropped)
    for name in (b"a", b"b", b"c", b"d"):
        assert list(range(each)) == [int(row[1]) for row in found if row[0] == name]
