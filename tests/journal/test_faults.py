"""A disk that is full, broken, read-only or forbidden costs records, counted, and never raises."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.journal import EVENT, Cursor, DirectoryLock, JournalReader
from otel_workflow.journal import writer as writing
from otel_workflow.journal.writer import JournalWriter, prepare_directory
from tests.journal.making import Program, events_of, names, open_segments, writer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; needs the right to mount one."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here (that needs root)")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_costs_records_that_are_counted_and_recovers_by_itself(small_disk: Path) -> None:
    journal, tried = writer(small_disk / "j"), 0
    while not journal.dropped:
        journal.write(EVENT, b"%06d" % tried + b"x" * 500)
        tried += 1
    for _ in range(50):
        assert not journal.write(EVENT, b"y" * 2_000)
        tried += 1
    assert {"disk_full", "short_write"} >= set(journal.dropped)
    assert tried == journal.written + sum(journal.dropped.values())
    assert journal.written == len(events_of(small_disk / "j"))
    assert not Cursor(small_disk / "j", "traces").save({"acknowledged": {"x" * 200_000: 1}})
    assert [] == [name for name in names(small_disk / "j") if name.startswith(".")]
    subprocess.run(["mount", "-o", "remount,size=512k", small_disk], check=True)
    assert journal.write(EVENT, b"there is room again")
    journal.close()
    [segment] = JournalReader(small_disk / "j").segments()
    read = list(segment.read())
    assert (b"there is room again", "closed") == (read[-2].payload, segment.ended)
    assert journal.written == len([record for record in read if record.kind == EVENT])


def test_a_disk_that_is_full_from_the_start_costs_every_record(small_disk: Path) -> None:
    journal = writer(small_disk / "j")
    (small_disk / "filler").write_bytes(b"x" * 256 * 1024)
    assert [False] * 3 == [journal.write(EVENT, b"x") for _ in range(3)]
    assert {"disk_full": 3} == journal.dropped
    (small_disk / "filler").unlink()
    assert journal.write(EVENT, b"x")
    journal.close()
    assert ([b"x"], 1) == (events_of(small_disk / "j"), len(names(small_disk / "j")))


def test_a_disk_that_is_full_when_a_segment_is_goes_on_with_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = writer(tmp_path / "j", sync="never", seal_bytes=900)
    journal.write(EVENT, b"1" * 100)

    def full(self: JournalWriter, *arguments: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(JournalWriter, "_head", full)
        assert all(journal.write(EVENT, b"2" * 100) for _ in range(10))
    assert (1, {}) == (len(names(tmp_path / "j")), journal.dropped)
    assert all(journal.write(EVENT, b"3" * 100) for _ in range(10))
    assert len(names(tmp_path / "j")) > 1
    assert 21 == len(events_of(tmp_path / "j"))
    journal.close()


def test_a_read_only_file_system_costs_every_record(small_disk: Path) -> None:
    journal = writer(small_disk / "j")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert not journal.write(EVENT, b"x")
    assert {"unwritable": 1} == journal.dropped
    with pytest.raises(OSError, match="Read-only"):
        prepare_directory(str(small_disk / "j"))
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert journal.write(EVENT, b"x")
    subprocess.run(["mount", "-o", "remount,ro", "-n", small_disk], capture_output=True, check=False)
    journal.close()


class Faulty:
    """The operating system, in which the n-th call of each function fails, or every one from the n-th on."""

    def __init__(self, fail_at: int, error: int, *, for_ever: bool = False) -> None:
        self.left, self.error, self.for_ever = fail_at, error, for_ever

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 or (self.left < 0 and self.for_ever):
                raise OSError(self.error, os.strerror(self.error))
            return function(*arguments, **options)

        return called


CALLS = ("open", "mkdir", "write", "rename", "dup", "dup2", "fdatasync", "fsync", "unlink", "lstat", "fstat")


def each_call_failing(
    tmp_path: Path, patch: pytest.MonkeyPatch, make: Callable[..., Any], error: int, *, for_ever: bool
) -> Iterator[tuple[int, Path, Any]]:
    """Write twelve records beside a first, a second, a third call that fails; ends when no call is left to fail.

    Yields which call it was, the directory, and the writer, closed.
    """
    fail_at, reached = 0, True
    while reached:
        fail_at += 1
        directory = tmp_path / f"{error}-{fail_at}"
        journal, faulty = make(directory, sync="always", seal_bytes=700), Faulty(fail_at, error, for_ever=for_ever)
        with patch.context() as patched:
            for name in CALLS:
                patched.setattr(writing.os, name, faulty.wrap(getattr(os, name)))
            for _ in range(12):
                journal.write(EVENT, b"x" * 100)
            journal.close()
        reached = faulty.left <= 0
        yield fail_at, directory, journal


@pytest.mark.parametrize(
    ("error", "for_ever"),
    [
        *[(error, False) for error in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EROFS)],
        *[(error, True) for error in (errno.EIO, errno.ENOSPC, errno.EMFILE)],
    ],
)
def test_whichever_call_fails_nothing_is_raised_and_the_books_balance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, *, for_ever: bool
) -> None:
    """Row: disk full / EIO / EROFS / EMFILE / quota. Exhaustive: ends when no call is left to fail."""
    for fail_at, directory, journal in each_call_failing(tmp_path, monkeypatch, writer, error, for_ever=for_ever):
        read = len(events_of(directory)) if directory.exists() else 0
        assert 12 == journal.written + sum(journal.dropped.values()), fail_at
        assert journal.written == read, fail_at
        if not for_ever:
            assert sum(journal.dropped.values()) + journal.unsynced <= 1, fail_at
        hidden = [name for name in names(directory) if name.startswith(".")] if directory.exists() else []
        assert len(hidden) <= 1 or for_ever, fail_at
        assert [] == open_segments(), fail_at
    assert fail_at > 50


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "io_error"), (errno.EFBIG, "io_error")],
)
def test_what_the_kernel_refuses_is_counted_by_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, reason: str
) -> None:
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"1")
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "write", Faulty(1, error).wrap(os.write))
        assert not journal.write(EVENT, b"2")
    assert journal.write(EVENT, b"3")
    assert ({reason: 1}, 2, [b"1", b"3"]) == (journal.dropped, journal.written, events_of(tmp_path / "j"))
    journal.close()


def test_a_short_write_costs_its_record_and_is_not_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, write = writer(tmp_path / "j", sync="never"), os.write
    journal.write(EVENT, b"1")
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "write", lambda fd, data: write(fd, data[:25]))
        assert not journal.write(EVENT, b"2" * 50)
    assert journal.write(EVENT, b"3")
    assert ({"short_write": 1}, [b"1", b"3"]) == (journal.dropped, events_of(tmp_path / "j"))
    [segment] = JournalReader(tmp_path / "j").segments()
    list(segment.read())
    assert 25 == segment.damaged
    journal.close()


def test_a_file_size_limit_costs_records_and_not_the_process(tmp_path: Path) -> None:
    source = """
        import resource, sys
        from otel_workflow.journal import EVENT, JournalWriter
        journal = JournalWriter(sys.argv[1], lambda: {"version": 1})
        journal.write(EVENT, b"x" * 50)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        for _ in range(20):
            journal.write(EVENT, b"x" * 50)
        print(journal.written + sum(journal.dropped.values()), sorted(journal.dropped) <= ["io_error", "short_write"])
        """
    assert resource.RLIMIT_FSIZE >= 0
    assert signal.SIGXFSZ
    with Program(source, tmp_path / "j") as program:
        assert ["21 True", ""] == program.rest()


def test_a_record_that_is_too_large_is_dropped_before_it_costs_anything(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never")
    assert not journal.write(EVENT, bytes(writing.MAX_PAYLOAD + 1))
    assert ({"too_large": 1}, False) == (journal.dropped, (tmp_path / "j").exists())
    assert journal.write(EVENT, bytes(writing.MAX_PAYLOAD))
    assert [writing.MAX_PAYLOAD] == [len(payload) for payload in events_of(tmp_path / "j")]
    journal.close()


def test_a_disk_that_does_not_confirm_is_counted_but_the_record_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = writer(tmp_path / "j", sync="always")
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "fdatasync", Faulty(1, errno.EIO).wrap(os.fdatasync))
        assert journal.write(EVENT, b"x")
    assert (1, {}, [b"x"]) == (journal.unsynced, journal.dropped, events_of(tmp_path / "j"))
    journal.close()


def test_places_that_cannot_be_a_journal_are_refused_and_cost_records_only(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "file", "pipe", "link/", "file/below"):
        with pytest.raises(OSError, match=r"."):
            prepare_directory(f"{tmp_path}/{name}")
        journal = JournalWriter(f"{tmp_path}/{name}", lambda: {"version": 1})
        assert not journal.write(EVENT, b"x"), name
        assert {"unwritable": 1} == journal.dropped, name
        journal.close()
    assert [] == names(tmp_path / "real")


def test_a_directory_of_another_user_or_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    source = """
        import os, sys
        from otel_workflow.journal import EVENT, JournalWriter
        from otel_workflow.journal.writer import prepare_directory
        if os.geteuid() == 0:
            os.setgroups([]); os.setresgid(4711, 4711, 4711); os.setresuid(4711, 4711, 4711)
        for place in sys.argv[1:]:
            try:
                prepare_directory(place)
            except OSError as error:
                print(error.strerror)
            journal = JournalWriter(place, lambda: {"version": 1})
            print(journal.write(EVENT, b"x"), journal.dropped)
            journal.close()
        """
    if os.geteuid() != 0:
        pytest.skip("only root can make directories of others")
    import tempfile

    with tempfile.TemporaryDirectory() as base:  # a place that others may walk through
        Path(base).chmod(0o755)
        others, closed = Path(base, "others"), Path(base, "closed")
        others.mkdir()
        others.chmod(0o777)
        closed.mkdir()
        os.chown(closed, 4711, 4711)
        closed.chmod(0o500)
        with Program(source, others, closed) as program:
            said = program.rest()
    refused = "False {'unwritable': 1}"
    assert ["belongs to another user", refused, "not writable", refused, ""] == said


def test_a_directory_that_is_exchanged_for_a_link_is_not_followed(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never", seal_bytes=200)
    journal.write(EVENT, b"x" * 100)
    (tmp_path / "j").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "j").symlink_to("elsewhere")
    assert all(journal.write(EVENT, b"x" * 100) for _ in range(5))
    journal.close()
    assert ([], 6) == (names(tmp_path / "elsewhere"), len(events_of(tmp_path / "moved")))


def test_a_cursor_and_a_lock_in_a_place_that_is_gone_fail_quietly(tmp_path: Path) -> None:
    assert {} == Cursor(tmp_path / "gone", "traces").load()
    assert not Cursor(tmp_path / "gone", "traces").save({})
    assert not DirectoryLock(tmp_path / "gone", "traces").acquire()
