"""The file: series, dedup keys, active runs and cursors, changed together or not at all.

One SQLite file with a write-ahead log. ``synchronous=FULL``: a transaction is on the disk when
``write`` returns, so neither a kill nor a power cut takes back what was shown. Rows hold
absolute values, so that a transaction whose fate is unknown can be written again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_workflow.errors import StateError
from otel_workflow.journal.cursor import DirectoryLock

__all__ = ("Changes", "State")

_VERSION = 1
_NAME = "metrics"
_IN_MEMORY = ":memory:"
_PRUNED_AT_ONCE = 10_000
_logger = logging.getLogger("otel_workflow")

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE series (
    id INTEGER PRIMARY KEY, metric TEXT NOT NULL, labels TEXT NOT NULL, overflow INTEGER NOT NULL,
    birth_ns INTEGER NOT NULL, born INTEGER NOT NULL, data TEXT NOT NULL
);
CREATE TABLE seen (key BLOB PRIMARY KEY, states INTEGER NOT NULL, keep INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_keep ON seen (keep);
CREATE TABLE active (
    key BLOB PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, pipeline TEXT,
    start_ns INTEGER NOT NULL, heard_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE recovery (
    pipeline TEXT PRIMARY KEY, failing_ns INTEGER NOT NULL, success_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cursor (spring TEXT, name TEXT, position INTEGER NOT NULL, PRIMARY KEY (spring, name)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Changes:
    """Rows to write in one transaction, each complete; ``active_gone`` and ``springs`` are deleted first."""

    series: list[tuple[Any, ...]] = field(default_factory=list)
    seen: list[tuple[bytes, int, int]] = field(default_factory=list)
    active: list[tuple[Any, ...]] = field(default_factory=list)
    active_gone: list[tuple[bytes]] = field(default_factory=list)
    recovery: list[tuple[str, int, int]] = field(default_factory=list)
    springs: list[tuple[str]] = field(default_factory=list)
    cursors: list[tuple[str, str, int]] = field(default_factory=list)


class State:
    """The open file; ``directory`` is made if it is not there. One process at a time.

    Without a directory it is in memory, and ends with its process.

    ``reset_ns`` is when a damaged file was replaced by this one, 0 if none was. Raises StateError:
    OW-140 held by another daemon, OW-141 another version, OW-142 cannot be opened.
    """

    def __init__(self, directory: Path | None) -> None:
        self.reset_ns = 0
        self._lock: DirectoryLock | None = None
        if directory is None:
            self.path = Path(_IN_MEMORY)
            self._database = self._open()
            return
        self.path = directory / f"{_NAME}.sqlite"
        self._lock = DirectoryLock(directory, _NAME)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Before SQLite makes it, which would make it readable to everybody.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
            os.close(os.open(self.path, flags, 0o600))
        except OSError as error:
            raise _cannot_open(self.path, error) from None
        if not self._lock.acquire():
            raise StateError(
                f"the metrics in {directory} are kept by another bridge",
                code="OW-140",
                hint="stop it, or give this one another --state",
            )
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            self._database = self._open()
            undo.pop_all()

    # -- opening --------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            database = self._checked()
        except sqlite3.OperationalError as error:  # a directory, no permission, no space: not the file's content
            raise _cannot_open(self.path, error) from None
        except sqlite3.DatabaseError as error:
            database = self._begin_anew(error)
        return database

    def _checked(self) -> sqlite3.Connection:
        """Open the file and make sure that it is whole; raises sqlite3.DatabaseError if it is not."""
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1.0)
        with contextlib.ExitStack() as undo:
            undo.callback(database.close)
            empty = self._is_empty(database)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute("PRAGMA journal_size_limit=16777216")
            if empty:
                database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")
            else:
                _check(database)
            row = database.execute("SELECT value FROM meta WHERE name = 'reset_ns'").fetchone()
            self.reset_ns = row[0] if row else 0
            undo.pop_all()
        return database

    def _is_empty(self, database: sqlite3.Connection) -> bool:
        """True for a new file; raises StateError (OW-141) for one of another version."""
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        tables: int = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and version != _VERSION:
            raise StateError(
                f"{self.path} has version {version}, this otel-workflow reads {_VERSION}",
                code="OW-141",
                hint="give another --state, or use the release that wrote it",
            )
        return not tables

    def _begin_anew(self, error: Exception) -> sqlite3.Connection:
        """Set a damaged file aside and begin an empty one, which remembers that it did."""
        now = time.time_ns()
        aside = self.path.with_name(f"{self.path.name}.damaged-{now // 1_000_000_000}")
        try:
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + ending).rename(f"{aside}{ending}")
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = self._checked()
            database.execute("INSERT INTO meta VALUES ('reset_ns', ?)", (now,))
        except (OSError, sqlite3.Error) as worse:
            raise _cannot_open(self.path, worse) from None
        self.reset_ns = now
        _logger.warning("%s is damaged (%s) and was set aside as %s; counters begin at 0", self.path, error, aside.name)
        return database

    def set_aside(self, error: Exception) -> None:
        """Begin anew because what the file holds makes no sense, though SQLite finds it whole."""
        self._database.close()
        self._database = self._begin_anew(error)

    # -- reading --------------------------------------------------------------------------------

    def unreadable(self, error: Exception) -> StateError:
        """Return the error that says that the file cannot be read now (OW-142)."""
        return _cannot_open(self.path, error)

    def rows(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table, which the caller names in its own words."""
        return iter(self._database.execute(f"SELECT {columns} FROM {table}"))  # noqa: S608 - no word of it is data

    def states_of(self, key: bytes) -> int:
        """Return what is known of a run or phase; 0 for nothing."""
        row = self._database.execute("SELECT states FROM seen WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    # -- writing --------------------------------------------------------------------------------

    def write(self, changes: Changes, forget_before: int | None = None) -> bool:
        """Write in one transaction, and forget keys whose time is over, some at a time.

        Returns True when there may be more to forget. Raises StateError (OW-143) if the disk did
        not take it; then nothing has changed, and the same changes may be written again.
        """
        database = self._database
        forgotten = 0
        try:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)", changes.series)
            database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", changes.seen)
            database.executemany("DELETE FROM active WHERE key = ?", changes.active_gone)
            database.executemany("INSERT OR REPLACE INTO active VALUES (?, ?, ?, ?, ?, ?)", changes.active)
            database.executemany("INSERT OR REPLACE INTO recovery VALUES (?, ?, ?)", changes.recovery)
            database.executemany("DELETE FROM cursor WHERE spring = ?", changes.springs)
            database.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", changes.cursors)
            if forget_before is not None:
                forgotten = database.execute(
                    "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE keep < ? LIMIT ?)",
                    (forget_before, _PRUNED_AT_ONCE),
                ).rowcount
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from None
        return forgotten >= _PRUNED_AT_ONCE

    def release(self, ids: Sequence[int]) -> None:
        """Write that series are born; raises StateError (OW-143)."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("UPDATE series SET born = 1 WHERE id = ?", _each(ids))
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _refused(self, error: sqlite3.Error) -> StateError:
        with contextlib.suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        return StateError(
            f"{self.path} could not be written: {error}", code="OW-143", hint="make room on its disk; it is tried again"
        )

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()


def _check(database: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError when the file is damaged."""
    said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def _each(ids: Iterable[int]) -> Iterator[tuple[int]]:
    return ((each,) for each in ids)


def _cannot_open(path: Path, error: Exception) -> StateError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StateError(f"{path} cannot be opened: {reason}", code="OW-142", hint="give a --state that can be written")
