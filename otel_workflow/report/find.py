"""Finds the run a person means: ``last``, ``last-green``, or the beginning of an id."""

from __future__ import annotations

from collections.abc import Sequence

from otel_workflow.errors import ConfigError, JournalError
from otel_workflow.events import Outcome
from otel_workflow.report.wording import printable
from otel_workflow.runs import Run

__all__ = ("NO_SUCH_RUN", "find_run")

NO_SUCH_RUN = "OW-204"
"""The code of the JournalError that says that no run matches."""
_MOST_NAMED = 3


def find_run(runs: Sequence[Run], wanted: str = "last") -> Run:
    """Return the one run that is meant.

    ``last`` is the run that began last, ``last-green`` the last one that succeeded; anything else
    is the beginning of a run id or a trace id. Raises JournalError (OW-204) when none matches,
    ConfigError (OW-121) when an id's beginning fits several.
    """
    if wanted == "last":
        found = list(runs[-1:])
    elif wanted == "last-green":
        found = [run for run in runs if run.outcome is Outcome.SUCCESS][-1:]
    else:
        found = _by_id(runs, wanted)
    if not found:
        kind = {"last": "no run", "last-green": "no successful run"}.get(wanted, f"no run {printable(wanted)!r}")
        hint = "list them: otel-workflow runs" if runs else "make one: otel-workflow demo"
        raise JournalError(kind, code=NO_SUCH_RUN, hint=hint)
    if len(found) > 1:
        named = ", ".join(printable(run.run_id) for run in found[:_MOST_NAMED])
        more = ", ..." if len(found) > _MOST_NAMED else ""
        raise ConfigError(
            f"{printable(wanted)!r} fits {len(found)} runs: {named}{more}",
            code="OW-121",
            hint="give more of the id, or its trace id",
        )
    return found[0]


def _by_id(runs: Sequence[Run], wanted: str) -> list[Run]:
    """A whole id wins over longer ones that begin with it."""
    if not wanted:
        return []
    whole = [run for run in runs if wanted in (run.run_id, run.trace_id)]
    return whole or [run for run in runs if run.run_id.startswith(wanted) or run.trace_id.startswith(wanted)]
