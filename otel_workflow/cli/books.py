"""The books as ``status`` shows them, for people and as a document; loads neither Typer nor pydantic."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from otel_workflow.bridge.shipment import Shipment
from otel_workflow.cli.backlog import look_at
from otel_workflow.cli.output import complain, show, show_json
from otel_workflow.cli.place import journal_directory, reason_for
from otel_workflow.errors import JournalError
from otel_workflow.journal import DEAD, Cursor
from otel_workflow.journal.bound import size_of
from otel_workflow.journal.pack import PACK, count_members
from otel_workflow.journal.reader import RETIRED
from otel_workflow.journal.writer import SUFFIX
from otel_workflow.report.wording import age, moment, printable

__all__ = ("show_books",)

_UNREADABLE = 1
_WHOLE, _LEAST, _ALIVE = 0.16, 0.05, 0.04
"""Seconds of CPU after which reading stops, seconds that it may take all the same, and seconds to ask who lives."""


def show_books(journal: Path | None, *, as_json: bool) -> int:
    """Show the books of a journal and return the exit code of ``status``."""
    try:
        books = _books(journal_directory(journal), journal)
    except JournalError as error:
        complain(str(error))
        return _UNREADABLE
    if as_json:
        show_json(books)
        return 0
    for name, value in _lines(books):
        show(f"{name:<13} {value}")
    return 0


def _books(directory: Path, given: Path | None) -> dict[str, Any]:
    found = look_at(directory, budget=max(_WHOLE - time.process_time(), _LEAST), counted=True)
    now = time.time_ns()
    shipped = Shipment()
    saved = Cursor(directory, "traces").load().get("books")
    shipped.load(saved)
    totals = shipped.totals()
    success = _seconds(totals["last_success"]) if saved else _last_success(directory)
    return {
        "schema": 1,
        "journal": str(directory),
        "why": reason_for(directory, given, os.environ),
        "exists": directory.is_dir(),
        "complete": found.complete,
        "segments": found.segments,
        "owners_alive": _count_alive(found.sources),
        "retired": _count_retired(directory),
        "bytes": size_of(directory, DEAD),
        "damaged_bytes": sum(source.segment.damaged for source in found.sources),
        "quarantined": found.quarantined,
        "open_runs": len(found.open_runs),
        "open_phases": found.open_phases,
        "waiting": found.waiting,
        "oldest_waiting": None if found.oldest_ns is None else max(now - found.oldest_ns, 0) / 1e9,
        "delivered": totals["delivered"],
        "refused": totals["refused"],
        "trimmed": totals["trimmed"],
        "dead": totals["dead"],
        "dead_not_kept": totals["dead_not_kept"],
        "last_success": success,
        "last_error": _last_error(totals["last_error"]),
        "endpoint": _endpoint(),
        "dropped": found.dropped,
        "late_verdicts": found.late_verdicts,
    }


def _newest(sources: list[Any]) -> list[Any]:
    """The newest segment of each process; older ones are sealed."""
    return list({source.owner: source for source in sources}.values())


def _count_alive(sources: list[Any]) -> int:
    """Count the processes that live; of a journal that takes longer, as many as were found in the time."""
    end = time.monotonic() + _ALIVE
    return sum(source.is_alive() for source in _newest(sources) if time.monotonic() < end)


def _endpoint() -> str | None:
    if not any(name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("ENDPOINT") for name in os.environ):
        return None
    from otel_workflow.bridge.destination import Destination

    destination = Destination.from_environ(os.environ)
    return destination.display if destination is not None else None


def _count_retired(directory: Path) -> int:
    try:
        names = os.listdir(directory / RETIRED)  # noqa: PTH208 - a week of segments, and only their names count
    except OSError:
        return 0
    packs = [directory / RETIRED / name for name in names if name.endswith(PACK)]
    return sum(name.endswith(SUFFIX) for name in names) + sum(map(_count_of, packs))


def _count_of(pack: Path) -> int:
    try:
        return count_members(pack)
    except OSError:
        return 0


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e9


def _last_error(said: list[Any] | None) -> dict[str, Any] | None:
    """Why spans wait, or waited last: what a backend or the way to it said, and since when (seconds)."""
    return None if said is None else {"said": said[1], "since": said[0] / 1e9}


def _last_success(directory: Path) -> float | None:
    """When the shipper's cursor moved last, in seconds since the epoch; None when it never did."""
    try:
        return Cursor(directory, "traces").path.stat().st_mtime
    except OSError:
        return None


def _counted(counts: dict[str, int], what: str) -> str:
    return "; ".join(
        f"{count} {what}{'' if count == 1 else 's'}: {printable(reason)}" for reason, count in counts.items()
    )


def _size(count: float) -> str:
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.0f} {unit}"
    return f"{count / 1024:.1f} GiB"


def _lines(books: dict[str, Any]) -> list[tuple[str, str]]:
    """The same books for people."""
    least = "" if books["complete"] else "at least "
    alive, waits = f"{least}{books['owners_alive']}", f"{least}{books['waiting']}"
    if books["oldest_waiting"] is not None:
        waits += f", the oldest for {age(round(books['oldest_waiting'] * 1e9))}"
    sent = books["last_success"]
    said = "never"
    if sent is not None:
        said = f"{moment(round(sent * 1e9))}, {age(time.time_ns() - round(sent * 1e9))} ago"
    lost = _counted(books["dropped"], "record")
    lines = [
        (
            "journal",
            f"{printable(books['journal'])} ({books['why']}{'' if books['exists'] else '; nothing was recorded yet'})",
        ),
        ("segments", f"{books['segments']}, {alive} of living processes, {books['retired']} retired"),
        ("size", _size(books["bytes"])),
        ("open", f"{least}{books['open_runs']} runs, {books['open_phases']} phases"),
        ("waiting", f"{waits} spans" if books["oldest_waiting"] is None else waits.replace(",", " spans,", 1)),
        ("last success", said),
        ("endpoint", books["endpoint"] or "none set, nothing is sent (OTEL_EXPORTER_OTLP_ENDPOINT)"),
        ("dropped", lost or "nothing"),
    ]
    if books["last_error"]:
        since = books["last_error"]["since"]
        over = " and over since" if sent is not None and sent >= since else ""
        at = moment(round(since * 1e9))
        lines.insert(-2, ("last error", f"{printable(books['last_error']['said'])} (from {at}{over})"))
    if books["refused"]:
        lines.append(("refused", _counted(books["refused"], "span")))
        kept = f"{books['dead']} kept (see: otel-workflow journal cat --dead)"
        lost = f", {books['dead_not_kept']} not kept" if books["dead_not_kept"] else ""
        lines.append(("dead letters", kept + lost))
    if books["trimmed"]:
        lines.append(("trimmed", f"{books['trimmed']} spans that were too large were sent shortened"))
    if books["late_verdicts"]:
        lines.append(("late", f"{books['late_verdicts']} ends came after their phase had been sent, as corrections"))
    if books["damaged_bytes"] or books["quarantined"]:
        files = len(books["quarantined"])
        lines.append(("damaged", f"{books['damaged_bytes']} bytes, {files} files (see: otel-workflow journal verify)"))
    if not books["complete"]:
        lines.append(("at least", "this journal is too large to be read in the time that status takes"))
    return lines
