"""A cursor is replaced as a whole or not at all; a lock excludes others and dies with its holder."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from otel_workflow.journal import Cursor, DirectoryLock
from otel_workflow.journal import cursor as pointing
from tests.journal.making import Program, names

HOLDER = """
    import sys
    from otel_workflow.journal import DirectoryLock
    lock = DirectoryLock(sys.argv[1], "traces")
    print(lock.acquire(), lock.held)
    sys.stdin.readline()
    lock.release()
    print("released")
    sys.stdin.readline()
    """


def test_a_cursor_gives_back_what_was_saved_last(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "traces")
    assert {} == cursor.load()
    for data in ({"acknowledged": {"a.owj": 7}, "sent": {}}, {}, {"acknowledged": {"ü": 2**60}}):
        assert cursor.save(data)
        assert data == Cursor(tmp_path, "traces").load()
    assert ["traces.cursor"] == names(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / "traces.cursor").stat().st_mode)


@pytest.mark.parametrize("left", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' + b"\0" * 50])
def test_a_cursor_that_is_lost_or_damaged_is_an_empty_one(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "traces.cursor").write_bytes(left)
    assert {} == Cursor(tmp_path, "traces").load()


def test_a_cursor_that_is_no_file_is_an_empty_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cursor")
    (tmp_path / "link.cursor").symlink_to("elsewhere")
    (tmp_path / "elsewhere").write_text('{"a": 1}')
    assert ({}, {}) == (Cursor(tmp_path, "pipe").load(), Cursor(tmp_path, "link").load())


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "replace"])
def test_whatever_fails_while_saving_the_old_cursor_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    cursor = Cursor(tmp_path, "traces")
    assert cursor.save({"old": {}})

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    target = {"open": os, "fdatasync": os, "write": pointing.json, "replace": Path}[call]
    with monkeypatch.context() as patched:
        patched.setattr(target, {"write": "dump"}.get(call, call), fail)
        assert not cursor.save({"new": {}})
    assert ({"old": {}}, ["traces.cursor"]) == (cursor.load(), names(tmp_path))


def test_a_reader_never_sees_half_a_cursor(tmp_path: Path) -> None:
    cursor, stop, seen = Cursor(tmp_path, "traces"), threading.Event(), set()
    versions = [{"n": number, "pad": "x" * 20_000 * (number + 1)} for number in range(3)]
    cursor.save(versions[0])

    def read() -> None:
        while not stop.is_set():
            seen.add(json.dumps(cursor.load()))

    def save(version: dict[str, object]) -> None:
        for _ in range(60):
            assert cursor.save(version)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=save, args=(version,)) for version in versions]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen <= {json.dumps(version) for version in versions}
    assert ["traces.cursor"] == names(tmp_path)


def test_a_lock_excludes_another_process_and_is_freed_by_its_release(tmp_path: Path) -> None:
    with Program(HOLDER, tmp_path) as program:
        assert "True True" == program.hear()
        lock = DirectoryLock(tmp_path, "traces")
        assert (False, False) == (lock.acquire(), lock.held)
        assert DirectoryLock(tmp_path, "metrics").acquire()
        program.say("let go")
        assert "released" == program.hear()
        assert (True, True, True) == (lock.acquire(), lock.acquire(), lock.held)
    lock.release()


def test_a_lock_is_freed_by_the_death_of_its_holder(tmp_path: Path) -> None:
    with Program(HOLDER, tmp_path) as program:
        program.hear()
        program.process.kill()
        program.process.wait()
        lock = DirectoryLock(tmp_path, "traces")
        assert lock.acquire()
        lock.release()
        lock.release()


def test_a_forked_child_does_not_hold_its_parents_lock_and_cannot_free_it(tmp_path: Path) -> None:
    source = """
        import os, sys
        from otel_workflow.journal import DirectoryLock
        lock = DirectoryLock(sys.argv[1], "traces")
        lock.acquire()
        ready, go = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            before = lock.held
            lock.release()
            print(before, DirectoryLock(sys.argv[1], "traces").acquire())
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        print(lock.held, child)
        sys.stdin.readline()
        """
    with Program(source, tmp_path) as program:
        assert "False False" == program.hear()
        held, child = program.hear().split()
        try:
            program.process.kill()
            program.process.wait()
            lock = DirectoryLock(tmp_path, "traces")
            assert ("True", True) == (held, lock.acquire())
            lock.release()
        finally:
            os.kill(int(child), 9)


def test_a_lock_whose_file_was_deleted_excludes_nobody_and_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, lock = pointing.fcntl.flock, DirectoryLock(tmp_path, "traces")

    def deleted_meanwhile(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        lock.path.unlink()

    with monkeypatch.context() as patched:
        patched.setattr(pointing.fcntl, "flock", deleted_meanwhile)
        assert (False, False) == (lock.acquire(), lock.held)
    assert lock.acquire()
    lock.release()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "traces.lock").symlink_to("victim")
    assert not DirectoryLock(tmp_path, "traces").acquire()
    assert ["traces.lock"] == names(tmp_path)


def test_what_root_makes_beside_anothers_segments_belongs_to_the_other(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path, 4711, 4712)
    lock = DirectoryLock(tmp_path, "traces")
    assert (True, True) == (lock.acquire(), Cursor(tmp_path, "traces").save({}))
    assert {(4711, 4712)} == {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    lock.release()
