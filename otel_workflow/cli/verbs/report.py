"""``otel-workflow report``: one run as a waterfall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir, RunName

if TYPE_CHECKING:
    from otel_workflow.runs import Run

__all__ = ("report",)

_NOT_GREEN, _NO_SUCH_RUN = 1, 4


def report(
    run: RunName = "last",
    form: Annotated[str, typer.Option("--format", metavar="text", help="text is the one there is.")] = "text",
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 unless the run succeeded.")] = False,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """Show one run: what ran when, for how long, how it ended and why.

    Exit code 4 when there is no such run; 1 with --check when it did not succeed.
    """
    from otel_workflow.cli.output import complain, show
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.errors import ConfigError, JournalError
    from otel_workflow.events import Outcome
    from otel_workflow.report import find_run, load_runs
    from otel_workflow.report.find import NO_SUCH_RUN

    if form != "text":
        raise ConfigError(f"--format={form!r} is not offered yet", code="OW-122", hint="give text, or --json")
    directory = journal_directory(journal)
    try:
        found = find_run(load_runs(directory), run)
    except JournalError as error:
        if error.code != NO_SUCH_RUN:
            raise
        complain(f"{error.code}: {error.args[0]} in {directory} ({error.hint})")
        return _NO_SUCH_RUN
    made = _render(found, as_json=as_json, to_file=output is not None)
    if output is None:
        show(made)
    else:
        _write(output, made)
    return _NOT_GREEN if check and found.outcome is not Outcome.SUCCESS else 0


def _render(found: Run, *, as_json: bool, to_file: bool) -> str:
    """Return the report's text; a file gets no colour and 100 columns."""
    import json

    from otel_workflow.cli.output import screen_width, stdout_style
    from otel_workflow.report import run_document, waterfall

    if as_json:
        return json.dumps(run_document(found), indent=2, allow_nan=False)
    if to_file:
        return waterfall(found)
    return waterfall(found, width=screen_width(), style=stdout_style())


def _write(path: Path, made: str) -> None:
    from otel_workflow.errors import ConfigError

    try:
        path.write_text(f"{made}\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"-o {str(path)!r} cannot be written: {error.strerror}", code="OW-122", hint="give another file"
        ) from error
