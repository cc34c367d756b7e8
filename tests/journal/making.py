"""Journals made by hand, and processes that write them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Self

from otel_workflow.journal import EVENT, JournalReader, JournalWriter, Record
from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event

__all__ = (
    "HEADER",
    "ROOT",
    "Program",
    "event_payload",
    "events_of",
    "header",
    "names",
    "open_segments",
    "records_of",
    "writer",
)

ROOT = Path(__file__).parents[2]
HEADER = {"version": 1, "resource": {"service.name": "journal-test"}, "scope": {"name": "test"}, "destination": ""}


def header() -> dict[str, Any]:
    return dict(HEADER)


def writer(directory: Path, **options: Any) -> JournalWriter:
    return JournalWriter(str(directory), header, **options)


def event_payload(number: int, text: str = "") -> bytes:
    """A phase that starts at second ``number``; its trace id is always 1, its span id the number."""
    body = {"name": text or f"phase {number}", "seq": 1}
    trace, span = (1).to_bytes(16, "big"), number.to_bytes(8, "big")
    return encode_event(1, SAMPLED | IS_RUN, trace, span, b"\0" * 8, number * 1_000_000_000, number, body)


def records_of(directory: Path) -> list[Record]:
    """All records of a directory's segments but their headers, in the order in which they are read."""
    return [record for segment in JournalReader(directory).segments() for record in segment.read()]


def events_of(directory: Path) -> list[bytes]:
    return [record.payload for record in records_of(directory) if record.kind == EVENT]


def names(directory: Path | str) -> list[str]:
    return sorted(entry.name for entry in Path(directory).iterdir())


def open_segments() -> list[str]:
    """The segments that this process has open."""
    there = [os.path.realpath(f"/proc/self/fd/{name}") for name in names("/proc/self/fd")]
    return [path for path in there if ".owj" in path]


class Program:
    """A Python process of its own; ``say`` and ``hear`` are its standard streams."""

    def __init__(self, source: str, *arguments: object) -> None:
        environ = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", textwrap.dedent(source), *map(str, arguments)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> str:
        """One line of what it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        """Everything it still says, until its streams are closed; it must be about to end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        said = self.process.stdout.read().decode().split("\n")
        self.process.wait(60)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.process.wait(60)
