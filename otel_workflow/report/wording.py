"""Small words for people: durations, short ids, counts, and text that is safe for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

from otel_workflow.events import Outcome
from otel_workflow.runs import PhaseRun, Run

__all__ = ("age", "cells", "count_outcomes", "cut", "duration", "moment", "printable", "result_word", "short_id")

_SHORT_ID = 8
_LONGEST_ID = 24


def duration(ns: int) -> str:
    """Say a duration in nanoseconds in at most three digits and a unit or two (``2m05s``)."""
    if 0 < ns < 500_000:
        return "<1ms"
    if ns < 999_500_000:
        return f"{round(ns / 1e6)}ms"
    tenths = round(ns / 1e8)
    if tenths < 600:
        return f"{tenths / 10:.1f}s"
    seconds = round(ns / 1e9)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if hours == 0:
        return f"{minutes}m{seconds % 60:02}s"
    if days == 0:
        return f"{hours}h{minutes % 60:02}m"
    return f"{days}d{hours % 24:02}h"


def age(ns: int) -> str:
    """Say how long ago something was; a clock that runs ahead of ours counts as now."""
    return duration(max(ns, 0))


def moment(time_ns: int, zone: tzinfo | None = None) -> str:
    """Return a time as ``2026-11-21 09:02:11 UTC``, in the machine's zone unless one is given."""
    when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).astimezone(zone)
    return f"{when:%Y-%m-%d %H:%M:%S %Z}".rstrip()


def printable(text: str) -> str:
    r"""Return the text in one line without anything that moves a cursor: controls become ``\x1b``.

    Format characters (right-to-left overrides, joiners) and lone surrogates are escaped as well.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Return the text in at most ``width`` columns, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    room, kept = max(width - cells(ellipsis), 0), []
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept.append(character)
    return ("".join(kept) + ellipsis)[: max(width, 0)]


def short_id(run: Run) -> str:
    """Return as much of a run's id as a person needs: eight digits of a trace id, or the given id."""
    if run.run_id == run.trace_id:
        return run.trace_id[:_SHORT_ID]
    return cut(printable(run.run_id), _LONGEST_ID)


def result_word(outcome: Outcome | None) -> str:
    """Return the outcome's word, ``running`` where there is none yet."""
    return outcome.value if outcome is not None else "running"


def count_outcomes(phases: Iterable[PhaseRun]) -> dict[str, int]:
    """Return how many phases ended how, in the order of the outcomes, then those still running."""
    found = [result_word(phase.outcome) for phase in phases]
    words = [outcome.value for outcome in Outcome] + ["running"]
    return {word: found.count(word) for word in words if word in found}
