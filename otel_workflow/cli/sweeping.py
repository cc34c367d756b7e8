"""Decides which journal files may be deleted, and deletes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from otel_workflow.cli.backlog import look_at
from otel_workflow.errors import ConfigError
from otel_workflow.journal import DEAD, DirectoryLock, JournalReader, Segment, is_alive
from otel_workflow.journal.reader import RETIRED
from otel_workflow.journal.retention import QUARANTINE, files_in

__all__ = ("Sweep", "seconds_of", "sweep")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> float:
    """Return an age such as ``7d`` in seconds; raises ConfigError (OW-122) for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise ConfigError(
            f"--older-than={text!r} is not an age", code="OW-122", hint="give a number and s, m, h or d, such as 7d"
        )
    return float(int(number) * _UNITS[unit])


@dataclass(slots=True)
class Sweep:
    """What may go, and how many files stay: because they were not delivered, or are being shipped.

    ``held`` are files that hold something to keep, packs above all.
    """

    files: list[Path] = field(default_factory=list)
    unshipped: int = 0
    busy: int = 0
    held: set[Path] = field(default_factory=set)

    def hold(self, segment: Segment) -> None:
        """Keep a segment that was not delivered, and with it the pack it is in."""
        self.unshipped += 1
        self.held.add(segment.file)

    def settle(self) -> None:
        """Name each file once, and none that holds something to keep."""
        self.files = [file for file in dict.fromkeys(self.files) if file not in self.held]

    def delete(self) -> tuple[int, int]:
        """Delete the files; returns how many went and their bytes."""
        count = freed = 0
        for path in self.files:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            count, freed = count + 1, freed + size
        return count, freed


@contextmanager
def sweep(directory: Path, *, older_than: float = 0.0, everything: bool = False) -> Iterator[Sweep]:
    """Find what may be deleted and keep shippers out until the block ends.

    Retired files were delivered. Of the others those of ended processes may go, but what they
    still have to send only with ``everything``, and then dead letters and what was set aside too;
    none of them while another process ships.
    """
    found, lock = Sweep(), DirectoryLock(directory, "traces")
    mine = directory.is_dir() and lock.acquire()
    try:
        before = time.time_ns() - round(older_than * 1e9)
        present = JournalReader(directory, retired=True).segments()
        segments = [s for s in present if s.modified_ns() <= before]
        found.held.update(s.file for s in present if s.modified_ns() > before)
        kept_back = set() if everything else look_at(directory).kept_back
        newest = {segment.owner: segment for segment in JournalReader(directory, retired=True).segments()}
        for segment in segments:
            if segment.file.parent.name == RETIRED:
                found.files.append(segment.file)
            elif not mine:
                found.busy += 1
            elif _has_ended(newest[segment.owner]):
                _judge(found, segment, kept_back)
        if everything and mine:
            found.files += _set_aside(directory, before)
        found.settle()
        yield found
    finally:
        lock.release()


def _set_aside(directory: Path, before: int) -> list[Path]:
    """Return what no backend takes and what no reader can read, unless it is younger than asked."""
    places = (directory / DEAD, directory / QUARANTINE)
    return [path for place in places for path, status in files_in(place) if status.st_mtime_ns <= before]


def _has_ended(segment: Segment) -> bool:
    for _ in segment.read():  # its last record says whether it was closed
        continue
    return not is_alive(segment)


def _judge(found: Sweep, segment: Segment, kept_back: set[str]) -> None:
    if segment.path.name in kept_back:
        found.hold(segment)
    else:
        found.files.append(segment.file)
