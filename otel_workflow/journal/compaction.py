"""Puts the many small segments of ended processes into few packs.

The pack has its name before the first of its segments is deleted, so a kill between any two
steps leaves some of them twice, under one name: readers take one. What was left over is deleted
the next time. A segment goes into a pack only when nobody can write to it any more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from otel_workflow.journal.cursor import open_beside
from otel_workflow.journal.liveness import is_over
from otel_workflow.journal.pack import PACK, RUNS, Member, Whole, members_of, write_pack
from otel_workflow.journal.probe import open_regular
from otel_workflow.journal.segment import Segment, read_header
from otel_workflow.journal.writer import SUFFIX

__all__ = ("FEW", "MARK", "SMALL_BYTES", "compact", "finish")

SMALL_BYTES = 64 * 1024
"""Segments below this size are put together."""
FEW = 64
"""Fewer small files than this are left alone."""
MARK = ".compacting"
"""A file that is there from before a pack has its name until the last of its segments is deleted."""
_MOST = 500
_PACK_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _Batch:
    """What goes into one pack: segments of one destination, and the files that held them."""

    members: dict[str, Whole] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.files) >= _MOST or self.size >= _PACK_BYTES


def compact(place: Path, stop: Callable[[], bool] = lambda: False) -> bool:
    """Pack the small segments of a directory; True when ``stop``, asked between files, left some over.

    Raises OSError when no pack could be written.
    """
    files, packs, runs = _small(place)
    for candidates, load, prefix in ((files, _segments, ""), (packs, _members, ""), (runs, _members, RUNS)):
        if len(candidates) >= FEW:
            _compact(candidates, load, prefix, stop)
    return stop()


def _small(place: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return small segments, packs that are not full, and those of them that hold runs; each by age."""
    files, packs, runs = list[Path](), list[Path](), list[Path]()
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.endswith((SUFFIX, PACK)):
                continue
            with contextlib.suppress(OSError):
                size = entry.stat(follow_symlinks=False).st_size
                if entry.name.endswith(SUFFIX) and size < SMALL_BYTES:
                    files.append(Path(entry.path))
                elif entry.name.endswith(PACK) and size < _PACK_BYTES // 2:
                    (runs if entry.name.startswith(RUNS) else packs).append(Path(entry.path))
    return sorted(files), sorted(packs), sorted(runs)


def _compact(
    candidates: list[Path], load: Callable[[Path], list[tuple[str, Whole]]], prefix: str, stop: Callable[[], bool]
) -> None:
    batches: dict[str, _Batch] = {}
    for path in candidates:
        if stop():
            break
        found: list[tuple[str, Whole]] = []
        with contextlib.suppress(OSError):
            found = load(path)
        if not found:
            continue
        batch = batches.setdefault(found[0][0], _Batch())
        batch.files.append(path)
        for _, whole in found:
            batch.members.setdefault(whole.name, whole)
            batch.size += len(whole.content)
        if batch.is_full:
            _replace(batches.pop(found[0][0]), prefix)
    for batch in batches.values():
        if len(batch.files) >= FEW:
            _replace(batch, prefix)


def _replace(batch: _Batch, prefix: str) -> None:
    """The step that must not lose anything: the pack is on the disk before a file goes."""
    place = batch.files[0].parent
    os.close(open_beside(place / MARK, os.O_WRONLY))
    pack = write_pack(place, batch.members.values(), prefix)
    there = {member.path.name: member.length for member in members_of(pack)}
    if there == {name: len(whole.content) for name, whole in batch.members.items()}:
        for path in batch.files:
            path.unlink(missing_ok=True)
    else:
        pack.unlink()
    (place / MARK).unlink()


def finish(place: Path) -> None:
    """Delete the segments that a pack holds as well, where a kill came between two steps."""
    if not (place / MARK).exists():
        return
    with os.scandir(place) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    packs = [place / name for name in sorted(names) if name.endswith(PACK)]
    held: dict[str, int] = {}
    for path in packs:
        members = members_of(path)
        if members and all(held.get(member.path.name) == member.length for member in members):
            path.unlink()  # the older one: all of it is in another pack
        held.update({member.path.name: member.length for member in members})
    for name in names:
        with contextlib.suppress(OSError):
            if name in held and (place / name).stat().st_size == held[name]:
                (place / name).unlink()
    (place / MARK).unlink()


def _segments(path: Path) -> list[tuple[str, Whole]]:
    """Return a file's segment if nothing can come to it any more."""
    header, end = read_header(path)
    if not header or "owner" not in header or not isinstance(end, int):
        return []
    segment = Segment(path, header, end)
    if not is_over(segment):
        return []
    with open_regular(path) as file:  # after the lock was seen to be free: no byte comes any more
        status = os.fstat(file.fileno())
        content = file.read(SMALL_BYTES) or b""
    if len(content) != status.st_size:
        return []
    return [(_destination(segment), Whole(path.name, status.st_mtime_ns, content))]


def _members(path: Path) -> list[tuple[str, Whole]]:
    return [
        (_destination(member), Whole(member.path.name, member.modified, member.content()))
        for member in members_of(path)
    ]


def _destination(segment: Segment | Member) -> str:
    return str(segment.header.get("destination", ""))
