"""Draws when a phase ran and for how long, against the whole run."""

from __future__ import annotations

from otel_workflow.report.style import Style

__all__ = ("bar",)


def bar(start: int, end: int, first: int, last: int, width: int, style: Style) -> str:
    """Return ``width`` columns with the time from ``start`` to ``end`` drawn within ``first`` to ``last``.

    Halves of columns are told apart; whatever took no time still shows as half a column.
    """
    whole, left_half, right_half = style.bar
    halves = 2 * width
    span = max(last - first, 1)
    begin = min(max((start - first) * halves // span, 0), halves - 1)
    finish = min(max(-((end - first) * halves // -span), begin + 1), halves)
    drawn = []
    for column in range(width):
        left = begin <= 2 * column < finish
        right = begin <= 2 * column + 1 < finish
        drawn.append(whole if left and right else left_half if left else right_half if right else " ")
    return "".join(drawn)
