"""Tells whether the process that owns a segment still lives.

A living owner holds an exclusive ``flock`` on its segment, which the kernel drops at its death,
whatever kind of death it was. Readers probe with a shared lock, so that probes cannot take each
other for an owner. A lock may outlive its owner where a C extension forked without Python's
hooks; then pid and start time decide, if boot and pid namespace are ours.
"""

from __future__ import annotations

import fcntl
import os
from typing import Any

from otel_workflow.journal.reader import Segment
from otel_workflow.journal.writer import process_identity

__all__ = ("evidence_ns", "is_alive")


def is_alive(segment: Segment) -> bool:
    """True unless it is proven that the segment's owner has ended or is dead."""
    if segment.ended == "closed":
        return False
    here = process_identity()
    if _same_machine(segment.header, here) and segment.header.get("pid") == here["pid"]:
        return bool(segment.header.get("start_ticks") == here["start_ticks"])
    if _lock_is_free(segment):
        return False
    return not _pid_is_gone(segment.header, here)


def _same_machine(header: dict[str, Any], here: dict[str, Any]) -> bool:
    keys = ("host", "boot", "pid_namespace")
    return all(header.get(key) == here[key] for key in keys)


def _lock_is_free(segment: Segment) -> bool:
    try:
        descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _pid_is_gone(header: dict[str, Any], here: dict[str, Any]) -> bool:
    if not here["boot"] or not _same_machine(header, here):
        return False
    try:
        with open(f"/proc/{int(header['pid'])}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return True
    except (OSError, KeyError, ValueError):
        return False
    return fields[0] in "ZX" or int(fields[19]) != header.get("start_ticks")


def evidence_ns(segment: Segment) -> int:
    """Return the last moment at which the owner is known to have lived, ns since the epoch.

    The later of its last record and, on the machine that wrote it, the file's modification time,
    which the owner renews once a second while a phase is open. A copied file has lost that.
    """
    modified = segment.modified_ns() if segment.header.get("boot") == process_identity()["boot"] else 0
    return max(segment.last_ns, modified)
