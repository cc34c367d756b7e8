"""Tells whether the process that owns a segment still lives.

A living owner holds an exclusive ``flock`` on its newest segment, which the kernel drops at its
death, whatever kind of death it was. What a free lock proves depends on where we ask:

- Under the kernel that gave the lock (same boot id: the same machine, or two containers of one
  host that share a directory) it proves death.
- The same host under a later boot: the owner died with the earlier one.
- Lines without frames have no lock: their process is asked, or they must be silent for a day.
- A file of another machine: a copy (an artifact) has no lock, and a network file system may not
  carry it. Then only silence proves death: a living owner renews the file's modification time
  once a second while a phase is open, and thirty seconds without are its end. So a fresh copy
  counts as alive for half a minute, and a worker whose locks we cannot see is not buried early.

A lock may outlive its owner where a C extension forked without Python's hooks; then a pid that is
gone, or has another start time, decides, if boot and pid namespace are ours.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from otel_workflow.journal.probe import lock_is_free
from otel_workflow.journal.segment import Segment, header_of, owner_and_number
from otel_workflow.journal.writer import RETIRED, process_identity, segment_name

__all__ = ("LOST_NS", "SILENCE_NS", "evidence_ns", "is_alive", "is_lost", "is_over")

SILENCE_NS = 30_000_000_000
"""How long (ns) a file of another machine may be silent: three heartbeats of ten seconds."""
LOST_NS = 86_400_000_000_000
"""How long (ns) lines may be silent that belong to no process we know: a day."""


def is_alive(segment: Segment) -> bool:
    """True unless it is proven that the segment's owner has ended or is dead.

    A segment that its owner has left for a newer one proves nothing: the newer one is to be
    asked, and read, before anybody calls the owner dead.
    """
    if segment.ended == "closed" or segment.file != segment.path:  # nobody packs what is alive
        return False
    here = _identity(os.getpid())
    ours = _same_kernel(segment.header, here)
    if ours and (segment.header.get("pid"), segment.header.get("start_ticks")) == (here["pid"], here["start_ticks"]):
        return True  # a process does not judge itself
    newer = _newer(segment)
    if newer is not None:
        return header_of(newer) is not None or lock_is_free(newer) is not True
    if ours and _pid_is_gone(segment.header):
        return False
    return _unframed_lives(segment, ours=ours) if "unframed" in segment.header else _may_live(segment, here, ours=ours)


def is_lost(segment: Segment, now_ns: int, ttl_ns: int) -> bool:
    """True when a segment's owner, dead or not, has shown no life for so long that its run is lost.

    For owners of whom nothing can be proven from here. One whose pid lives under our kernel is
    not lost, however long it is stopped.
    """
    if now_ns - max(segment.last_ns, segment.modified_ns()) <= ttl_ns:
        return False
    ours = _same_kernel(segment.header, _identity(os.getpid()))
    return not ours or _pid_is_gone(segment.header)


def is_over(segment: Segment) -> bool:
    """True if nobody can write to the segment any more; stricter than death, since its file may then go.

    Its lock is free, and it was closed, sealed, or its owner died under the kernel we ask, or has
    been silent for a day.
    """
    if segment.file != segment.path:
        return True
    if lock_is_free(segment.path) is not True or "unframed" in segment.header:
        return False
    here = _identity(os.getpid())
    if segment.header.get("boot") == here["boot"] or segment.header.get("host") == here["host"]:
        return True
    return abs(time.time_ns() - segment.modified_ns()) > LOST_NS


def _unframed_lives(segment: Segment, *, ours: bool) -> bool:
    """Lines without frames have no lock: what is left is the pid of their process, or silence."""
    limit = SILENCE_NS if "owner" in segment.header else LOST_NS
    return ours or abs(time.time_ns() - segment.modified_ns()) <= limit


def _may_live(segment: Segment, here: dict[str, Any], *, ours: bool) -> bool:
    """What the lock says of a segment without a successor, whose pid is no proof of death."""
    free = lock_is_free(segment.path)
    if free and segment.ended != "sealed":
        return not _proves_death(segment, here)
    # Sealed, or moved away, and nothing came after it: what has a living pid may go on.
    return ours if free or not segment.path.exists() else True


def _same_kernel(header: dict[str, Any], here: dict[str, Any]) -> bool:
    """True if a pid means the same there and here."""
    keys = ("host", "boot", "pid_namespace")
    return all(here[key] and header.get(key) == here[key] for key in keys)


def _proves_death(segment: Segment, here: dict[str, Any]) -> bool:
    """True if a lock that we found free was really given up."""
    header = segment.header
    if header.get("boot") == here["boot"] or header.get("host") == here["host"]:
        return True
    return abs(time.time_ns() - segment.modified_ns()) > SILENCE_NS


def _pid_is_gone(header: dict[str, Any]) -> bool:
    try:
        pid = int(header["pid"])
        path = Path(f"/proc/{pid}/stat")
        fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return fields[0] in "ZX" or int(fields[19]) != header.get("start_ticks")
    except FileNotFoundError:
        return not _can_be_signalled(pid)  # /proc may hide what belongs to others
    except (OSError, LookupError, TypeError, ValueError):
        return False


def _can_be_signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _newer(segment: Segment) -> Path | None:
    """Return the next unretired segment of the same process, if there is one."""
    owner, number = owner_and_number(segment.path)
    base = segment.path.parent
    base = base.parent if base.name == RETIRED else base
    while number or "unframed" in segment.header:
        number += 1
        name = segment_name(owner, number)
        if (base / name).exists():
            return base / name
        if not (base / RETIRED / name).exists():
            break
    return None


def evidence_ns(segment: Segment) -> int:
    """Return the last moment at which the owner is known to have lived, ns since the epoch.

    The later of its last record and, on the machine that wrote it, the file's modification time,
    which the owner renews once a second while a phase is open. A copied file has lost that.
    """
    here = _identity(os.getpid())
    at_home = segment.header.get("boot") == here["boot"] or segment.header.get("host") == here["host"]
    return max(segment.last_ns, segment.modified_ns() if at_home else 0)


@lru_cache(maxsize=1)
def _identity(_pid: int) -> dict[str, Any]:
    """Who this process is; asked once, since every look at every segment wants to know."""
    return process_identity()
