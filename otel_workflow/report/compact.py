"""The tree in its compact form, for tests and logs: name, outcome, whole seconds, reason."""

from __future__ import annotations

from otel_workflow.report.rows import Row, rows_of
from otel_workflow.report.style import PLAIN
from otel_workflow.report.wording import printable, result_word
from otel_workflow.runs import PhaseRun, Run

__all__ = ("tree_text",)


def tree_text(run: Run) -> str:
    """Return a run as indented lines (``nightly failure 4s``, ``  compile failure 1s: 2 files ...``).

    Durations are cut to whole seconds; a phase that runs has none, an interrupted one says
    ``killed``. A verdict that came up from an inner phase carries no reason of its own.
    """
    return "\n".join("  " * row.depth + _said(row) for row in rows_of(run, PLAIN))


def _said(row: Row) -> str:
    return f"{row.folded} more items" if row.folded else _line(row.phase)


def _line(phase: PhaseRun) -> str:
    took = phase.duration_ns
    seconds = "" if took is None else f" {took // 1_000_000_000}s"
    reason = phase.lost_type if phase.interrupted else phase.reason
    said = f": {printable(' '.join(reason.split()))}" if reason else ""
    return f"{printable(phase.name)} {result_word(phase.outcome)}{seconds}{said}"
