"""A run's tree as rows in reading order, each with its connector lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from otel_workflow.events import Outcome
from otel_workflow.report.style import Style
from otel_workflow.runs import PhaseRun, Run

__all__ = ("Row", "rows_of")

_MOST_ITEMS = 40
"""Items (tests, recipe lines) of one phase that are drawn before successes are folded into a line."""

_WIDEST_LINES = 240
"""Columns of connector lines that are kept; without a bound a tree 10,000 deep would take gigabytes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree. ``before`` leads the line itself, ``below`` what is said under it.

    Both are made of one-column characters, and of a very deep tree they are only the right end.
    ``folded`` items that succeeded are meant when it is not 0; ``phase`` is then their parent.
    """

    phase: PhaseRun
    depth: int
    before: str
    below: str
    folded: int = 0


def rows_of(run: Run, style: Style) -> Iterator[Row]:
    """Yield the rows of a run, parents first, siblings by start; a tree of any depth is walked."""
    child, last, past, past_last, own = style.lines
    stack: list[tuple[PhaseRun, int, str, str, int]] = [(phase, 0, "", "", 0) for phase in reversed(run.top)]
    seen: set[int] = set()  # ids from a foreign journal may form a circle
    while stack:
        phase, depth, before, beside, folded = stack.pop()
        if folded:
            yield Row(phase, depth, before, beside, folded)
            continue
        if id(phase) in seen:
            continue
        seen.add(id(phase))
        shown, hidden = _split(phase)
        yield Row(phase, depth, before, beside + (own if phase.children else "  "))
        beside = beside[-_WIDEST_LINES:]
        entries = [(inner, 0) for inner in shown] + ([(phase, hidden)] if hidden else [])
        for place, (inner, count) in reversed(list(enumerate(entries))):
            lead, under = (last, past_last) if place == len(entries) - 1 else (child, past)
            stack.append((inner, depth + 1, beside + lead, beside + under, count))


def _split(phase: PhaseRun) -> tuple[list[PhaseRun], int]:
    """Return the children to draw and how many are folded: successful items without children."""
    items = [inner for inner in phase.children if _is_plain(inner)]
    if len(items) <= _MOST_ITEMS:
        return phase.children, 0
    hidden = {id(inner) for inner in items[_MOST_ITEMS:]}
    return [inner for inner in phase.children if id(inner) not in hidden], len(hidden)


def _is_plain(phase: PhaseRun) -> bool:
    return phase.facts.detail == "item" and phase.outcome is Outcome.SUCCESS and not phase.children
