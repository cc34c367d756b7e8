"""``otel-workflow runs``: the newest runs of a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir, whole_number

if TYPE_CHECKING:
    from otel_workflow.report import Style
    from otel_workflow.runs import Run

__all__ = ("runs",)


def runs(
    limit: Annotated[str, typer.Option("--limit", metavar="N", help="At most N runs.")] = "20",
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="W", help="Only runs of this workflow.")] = None,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """List the newest runs, newest first: id, workflow, result, duration and start."""
    from otel_workflow.cli.output import show, show_json, stdout_style, tell
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.report import load_runs, run_summary

    most = whole_number("--limit", limit, 1)
    directory = journal_directory(journal)
    found = [run for run in load_runs(directory) if workflow is None or run.name == workflow]
    newest = found[::-1][:most]
    if as_json:
        show_json({"schema": 1, "journal": str(directory), "runs": [run_summary(run) for run in newest]})
        return 0
    if not newest:
        tell(f"no runs in {directory}; otel-workflow demo makes one")
        return 0
    for line in _table(newest, stdout_style()):
        show(line)
    return 0


def _table(found: list[Run], style: Style) -> list[str]:
    import time

    from otel_workflow.report.wording import cells, cut, duration, moment, printable, result_word, short_id

    ids = [short_id(run) for run in found]
    names = [cut(printable(run.name), 32, style.ellipsis) for run in found]
    wide = max(map(len, ids)), max(map(cells, names)), max(len(result_word(run.outcome)) for run in found)
    lines = []
    for run, short, name in zip(found, ids, names, strict=True):
        end = run.end_ns if run.end_ns is not None else max(time.time_ns(), run.start_ns)
        result = f"{style.mark(run.outcome)} {result_word(run.outcome):<{wide[2]}}"
        lines.append(
            f"{short:<{wide[0]}}  {name}{' ' * (wide[1] - cells(name))}  {style.paint(run.outcome, result)}"
            f"  {duration(end - run.start_ns):>7}  {style.dim(moment(run.start_ns))}"
        )
    return lines
