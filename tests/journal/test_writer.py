"""What is written is whole, in order and complete: from threads, signals, finalisers and forks."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import stat
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from otel_workflow.journal import END, EVENT, JournalReader, JournalWriter, is_alive
from otel_workflow.journal import writer as writing
from otel_workflow.journal.probe import lock_is_free
from tests.journal.making import Program, events_of, header, names, open_segments, records_of, writer


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads change places as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def write_from_threads(journal: JournalWriter, threads: int, each: int) -> None:
    def work(thread: int) -> None:
        begin.wait()
        for number in range(each):
            assert journal.write(EVENT, b"%d-%d" % (thread, number))

    begin = threading.Barrier(threads)
    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def in_child(work: object) -> int:
    """Fork, run the work in the child, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() is not False else 1  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_two_threads_write_five_thousand_records_each_and_all_are_read_in_unbroken_sequence(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never")
    write_from_threads(journal, 2, 5_000)
    journal.close()
    read = records_of(tmp_path / "j")
    assert {b"%d-%d" % (t, n) for t in range(2) for n in range(5_000)} == {r.payload for r in read if r.kind == EVENT}
    assert list(range(2, 10_003)) == sorted(record.sequence for record in read)
    assert (10_000, {}) == (journal.written, journal.dropped)


def test_the_first_records_of_many_threads_open_one_segment(tmp_path: Path, hurried: None) -> None:
    for turn in range(40):
        journal = writer(tmp_path / str(turn), sync="never")
        write_from_threads(journal, 8, 1)
        assert 1 == len(names(tmp_path / str(turn)))
        assert (8, 8) == (journal.written, len(events_of(tmp_path / str(turn))))
        journal.close()


def test_sealing_under_eight_writing_threads_loses_nothing(tmp_path: Path, hurried: None) -> None:
    journal = writer(tmp_path / "j", sync="never", seal_bytes=20_000)
    write_from_threads(journal, 8, 2_000)
    journal.close()
    segments = JournalReader(tmp_path / "j").segments()
    read = [record for segment in segments for record in segment.read()]
    assert Counter(b"%d-%d" % (t, n) for t in range(8) for n in range(2_000)) == Counter(
        record.payload for record in read if record.kind == EVENT
    )
    assert len(segments) > 2
    assert ["sealed"] * (len(segments) - 1) + ["closed"] == [segment.ended for segment in segments]
    assert {0} == {segment.damaged for segment in segments}
    headers = [segment.header["segment"] for segment in segments]
    assert list(range(1, len(segments) + 1)) == headers
    assert 16_000 == journal.written


def test_closing_under_eight_writing_threads_counts_every_record(tmp_path: Path, hurried: None) -> None:
    """Beside them others open files: no record may land in one of those."""
    journal, tried, stop = writer(tmp_path / "j", sync="never"), count(), threading.Event()
    journal.write(EVENT, b"first")

    def work() -> None:
        while not stop.is_set():
            next(tried)
            journal.write(EVENT, b"x" * 50)

    def open_others() -> None:
        while not stop.is_set():
            with (tmp_path / "other").open("ab", buffering=0) as file:
                os.fstat(file.fileno())

    workers = [threading.Thread(target=work) for _ in range(8)] + [threading.Thread(target=open_others)]
    for worker in workers:
        worker.start()
    while journal.written < 2_000:
        time.sleep(0)
    journal.close()
    stop.set()
    for worker in workers:
        worker.join()
    assert next(tried) + 1 == journal.written + sum(journal.dropped.values())
    assert journal.written == len(events_of(tmp_path / "j"))
    assert {"closed"} >= set(journal.dropped)
    assert 0 == (tmp_path / "other").stat().st_size
    assert lock_is_free(JournalReader(tmp_path / "j").segments()[0].path)


def test_a_closed_journal_counts_what_still_comes(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    assert journal.write(EVENT, b"1")
    journal.close()
    journal.close()
    assert not journal.write(EVENT, b"2")
    assert ({"closed": 1}, [b"1"]) == (journal.dropped, events_of(tmp_path / "j"))
    [segment] = JournalReader(tmp_path / "j").segments()
    end = list(segment.read())[-1]
    assert (END, {"reason": "closed", "dropped": {}}) == (end.kind, json.loads(end.payload))


def test_closing_gives_every_descriptor_back(tmp_path: Path) -> None:
    before = sorted(names("/proc/self/fd"))
    for turn in range(3):
        journal = writer(tmp_path / str(turn), seal_bytes=300)
        for _ in range(20):
            journal.write(EVENT, b"x" * 100)
        journal.close()
        del journal
    gc.collect()
    assert before == sorted(names("/proc/self/fd"))


def test_an_unused_writer_touches_nothing(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    assert (None, 0, {}) == (journal.path, journal.written, journal.dropped)
    journal.close()
    assert [] == names(tmp_path)


def test_files_are_private_and_so_is_the_directory(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = writer(tmp_path / "a" / "j")
        journal.write(EVENT, b"x")
    finally:
        os.umask(before)
    assert journal.path is not None
    assert 0o600 == stat.S_IMODE(Path(journal.path).stat().st_mode)
    assert 0o700 == stat.S_IMODE((tmp_path / "a" / "j").stat().st_mode)
    journal.close()


def test_the_journal_stays_where_it_is_when_the_program_changes_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = JournalWriter("j", header, "never", 200)
    journal.write(EVENT, b"1" * 200)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    journal.write(EVENT, b"2" * 200)
    journal.close()
    assert 2 == len(events_of(tmp_path / "j"))
    assert [] == names(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "said",
    [
        lambda: {"version": 1, "resource": {"bytes": b"\xff", "nan": float("nan"), "object": object()}},
        lambda: {"version": 1, "resource": {1: 2, (1, 2): 3, "lone": "\udc80"}},
        lambda: (_ for _ in ()).throw(RuntimeError("no resource")),
        lambda: None,
        lambda: {"version": 1, "resource": {"huge": "x" * writing.MAX_PAYLOAD}},
    ],
)
def test_a_header_that_cannot_be_made_costs_itself_and_no_record(tmp_path: Path, said: object) -> None:
    journal = JournalWriter(str(tmp_path / "j"), said, "never")  # type: ignore[arg-type]
    assert journal.write(EVENT, b"x")
    journal.close()
    [segment] = JournalReader(tmp_path / "j").segments()
    assert ([b"x"], 1, os.getpid()) == (
        [record.payload for record in segment.read() if record.kind == EVENT],
        segment.header["version"],
        segment.header["pid"],
    )


def test_a_signal_handler_writes_a_thousand_times_a_second_and_nothing_stops(tmp_path: Path) -> None:
    journal, handled = writer(tmp_path / "j", seal_bytes=100_000), count()

    def handler(number: int, frame: object) -> None:
        assert journal.write(EVENT, b"signal %d" % next(handled))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    written, end = 0, time.monotonic() + 2
    try:
        while time.monotonic() < end:
            assert journal.write(EVENT, b"plain %d" % written)
            written += 1
            threading.Thread(target=int).start()  # its locks are what a handler may interrupt
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    journal.close()
    signals = next(handled)
    wanted = {b"plain %d" % n for n in range(written)} | {b"signal %d" % n for n in range(signals)}
    assert signals > 50
    assert Counter(wanted) == Counter(events_of(tmp_path / "j"))
    assert {} == journal.dropped


def test_a_handler_that_comes_while_the_first_segment_is_opened_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, opening = writer(tmp_path / "j", sync="never"), JournalWriter._head
    inner: list[bool] = []

    def interrupted(self: JournalWriter, *arguments: object) -> int:
        if not inner:
            inner.append(False)
            inner[0] = self.write(EVENT, b"inner")
        return opening(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(JournalWriter, "_head", interrupted)
    assert journal.write(EVENT, b"outer")
    assert [True] == inner
    assert [b"inner", b"outer"] == events_of(tmp_path / "j")
    assert journal.path == str(JournalReader(tmp_path / "j").segments()[1].path)
    assert [True, True] == [is_alive(segment) for segment in JournalReader(tmp_path / "j").segments()]
    journal.close()


def test_finalisers_write(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")

    class Last:
        def __del__(self) -> None:
            journal.write(EVENT, b"last words")

    for _ in range(100):
        ring = Last()
        ring.itself = ring  # type: ignore[attr-defined]
        del ring
        journal.write(EVENT, b"x")
    gc.collect()
    journal.close()
    assert {b"x": 100, b"last words": 100} == Counter(events_of(tmp_path / "j"))


def test_a_forked_child_writes_a_segment_of_its_own_and_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"parent")
    parents = journal.path

    def child() -> bool:
        return (
            [] == open_segments()
            and (journal.written, journal.dropped, journal.path) == (0, {}, None)
            and journal.write(EVENT, b"child")
        )

    assert 0 == in_child(child)
    journal.write(EVENT, b"parent again")
    first, second = JournalReader(tmp_path / "j").segments()
    assert [b"parent", b"parent again"] == [record.payload for record in first.read()]
    assert [b"child"] == [record.payload for record in second.read()]
    assert first.header["pid"] == second.header["ppid"] == os.getpid()
    assert ([True, False], parents) == ([is_alive(first), is_alive(second)], journal.path)
    journal.close()


def test_a_child_forked_without_pythons_hooks_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    """As a C extension forks: no hook runs, the process id alone tells."""
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"parent")
    # Such a child has no other thread to switch to, yet waits for one if a thread asked for the interpreter
    # at that instant: nobody may ask meanwhile.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    time.sleep(0.02)  # whoever asks already has its turn
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the test runner's handler would need the lock we wait for
        signal.alarm(30)
        journal.write(EVENT, b"child")
        alone = 1 == len(names("/proc/self/task"))
        os._exit(0 if alone and [os.path.realpath(str(journal.path))] == open_segments() else 1)
    sys.setswitchinterval(interval)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    journal.write(EVENT, b"parent again")
    assert [[b"parent", b"parent again"], [b"child"]] == [
        [record.payload for record in segment.read()] for segment in JournalReader(tmp_path / "j").segments()
    ]
    journal.close()


def test_a_child_that_exits_does_not_end_its_parent(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"parent")
    [segment] = JournalReader(tmp_path / "j").segments()
    assert 0 == in_child(journal.close)
    assert 0 == in_child(lambda: journal.write(EVENT, b"child") and journal.close())
    list(segment.read())
    assert ("", False) == (segment.ended, lock_is_free(segment.path))
    assert journal.write(EVENT, b"still here")
    journal.close()


def test_a_signal_handler_that_forks_in_the_middle_of_a_write_harms_neither_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"first")
    make, forked = writing.frame, []

    def interrupted(*arguments: object) -> bytes:
        made = make(*arguments)  # type: ignore[arg-type]
        if not forked:
            forked.append(0)
            forked[0] = os.fork()
            forked.append(os.open("/dev/null", os.O_WRONLY))  # takes a number that was given back
        return made

    monkeypatch.setattr(writing, "frame", interrupted)
    written = journal.write(EVENT, b"second")
    if forked[0] == 0:
        os._exit(0 if written and journal.written == 1 else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1])
    assert [[b"first", b"second"], [b"second"]] == [
        [record.payload for record in segment.read()] for segment in JournalReader(tmp_path / "j").segments()
    ]
    os.close(forked[1])
    journal.close()


def test_forking_while_others_write_and_seal_leaves_no_lock_with_a_child(tmp_path: Path) -> None:
    journal, stop = writer(tmp_path / "j", sync="never", seal_bytes=1_000), threading.Event()

    def work() -> None:
        while not stop.is_set():
            journal.write(EVENT, b"x" * 90)

    def child() -> bool:
        return [] == open_segments()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: these threads are the test's own
        codes = [in_child(child) for _ in range(20)]
    stop.set()
    for worker in workers:
        worker.join()
    assert [0] * 20 == codes
    assert journal.written == len(events_of(tmp_path / "j"))
    journal.close()


def test_the_thread_is_gone_before_a_fork_and_comes_back(tmp_path: Path) -> None:
    before = len(names("/proc/self/task"))
    journal = writer(tmp_path / "j")
    journal.phase_opened()
    journal.write(EVENT, b"x")
    assert before + 1 == len(names("/proc/self/task"))
    assert 0 == in_child(lambda: len(names("/proc/self/task")) == 1)
    assert before + 1 == len(names("/proc/self/task"))
    journal.close()
    journal.stop_thread()


def test_an_open_phase_renews_the_segment_and_a_closed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = threading.Semaphore(0)
    utime = os.utime
    monkeypatch.setattr(writing.os, "utime", lambda *a: (utime(*a), touched.release()))
    monkeypatch.setattr(writing, "SYNC_SECONDS", 0.001)
    monkeypatch.setattr(writing, "TOUCH_SECONDS", 0.0)
    journal = writer(tmp_path / "j")
    journal.phase_opened()
    journal.write(EVENT, b"x")
    assert journal.path is not None
    os.utime(journal.path, (0, 0))
    assert all(touched.acquire(timeout=10) for _ in range(3))
    assert Path(journal.path).stat().st_mtime > 0
    journal.phase_closed()
    journal.phase_closed()  # of a phase that was opened before a fork
    journal.stop_thread()
    while touched.acquire(blocking=False):
        pass
    journal.write(EVENT, b"y")
    assert not touched.acquire(timeout=0.05)
    journal.close()


@pytest.mark.parametrize(("sync", "calls"), [("never", 0), ("always", 3)])
def test_records_are_forced_to_disk_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: str, calls: int
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(writing.os, "fdatasync", synced.append)
    journal = writer(tmp_path / "j", sync=sync)
    for _ in range(3):
        journal.write(EVENT, b"x")
    assert calls == len(synced)
    journal.close()


def test_interval_forces_them_to_disk_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, sync = threading.Semaphore(0), os.fdatasync
    monkeypatch.setattr(writing.os, "fdatasync", lambda fd: (sync(fd), synced.release()))
    monkeypatch.setattr(writing, "SYNC_SECONDS", 0.001)
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"x")
    assert synced.acquire(timeout=10)
    journal.close()


def test_a_writer_without_threads_to_be_had_writes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writing._thread, "start_new_thread", refuse)
    journal = writer(tmp_path / "j")
    assert journal.write(EVENT, b"x")
    assert journal.write(EVENT, b"y")
    journal.close()
    assert [b"x", b"y"] == events_of(tmp_path / "j")


def test_records_written_while_the_interpreter_goes_down_are_kept(tmp_path: Path) -> None:
    source = """
        import atexit, functools, sys
        from otel_workflow.journal import EVENT, JournalWriter
        journal = JournalWriter(sys.argv[1], functools.partial(dict, version=1))
        class Last:
            def __del__(self, write=journal.write, kind=EVENT):
                print(write(kind, b"deleted"))
        last = Last()
        atexit.register(lambda: print(journal.write(EVENT, b"at exit")))
        """
    with Program(source, tmp_path / "j") as program:
        assert ["True", "True", ""] == program.rest()
    assert [b"at exit", b"deleted"] == events_of(tmp_path / "j")


def test_what_root_makes_in_anothers_directory_belongs_to_the_other(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path, 4711, 4712)
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"x")
    assert journal.path is not None
    for path in (tmp_path / "j", Path(journal.path)):
        assert (4711, 4712) == (path.stat().st_uid, path.stat().st_gid)
    journal.close()


def test_closing_twice_from_two_threads_ends_once(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    journal.write(EVENT, b"x")
    workers = [threading.Thread(target=journal.close) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [EVENT, END] == [record.kind for record in records_of(tmp_path / "j")]
