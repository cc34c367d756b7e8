"""``otel-workflow journal``: look at, check and delete journal files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_workflow.cli.options import AsJson, JournalDir

if TYPE_CHECKING:
    from pathlib import Path

    from otel_workflow.cli.sweeping import Sweep

__all__ = ("cat", "clean", "verify")

_DAMAGED = _KEPT = 1


def verify(journal: JournalDir = None, as_json: AsJson = False) -> int:
    """Read every record of every file and say what is damaged; exit code 1 if anything is."""
    from dataclasses import asdict

    from otel_workflow.cli.checking import check_files
    from otel_workflow.cli.output import show, show_json
    from otel_workflow.cli.place import journal_directory

    directory = journal_directory(journal)
    files = check_files(directory)
    damaged = [file for file in files if file.damage]
    if as_json:
        show_json(
            {
                "schema": 1,
                "journal": str(directory),
                "ok": not damaged,
                "files": [{**asdict(file), "damage": file.damage} for file in files],
            }
        )
    else:
        for file in files:
            show(f"{file.name}  {file.records} records  {file.state}  {file.damage or 'ok'}")
        show(f"{len(files)} files, {sum(file.records for file in files)} records, {len(damaged)} files damaged")
    return _DAMAGED if damaged else 0


def cat(
    dead: Annotated[bool, typer.Option("--dead", help="Only what no backend takes: dead letters.")] = False,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """Show every record, file by file; with --json one JSON object a line.

    With --dead the spans that a backend refused for good, and why, oldest first.
    """
    from otel_workflow.cli.checking import describe_records, letter_line, line_of
    from otel_workflow.cli.output import show, show_json
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.journal import read_dead_letters

    directory = journal_directory(journal)
    if dead:
        for letter in read_dead_letters(directory):
            if as_json:
                show_json({"schema": 1, **letter}, indent=None)
            else:
                show(letter_line(letter))
        return 0
    for record in describe_records(directory):
        if as_json:
            show_json({"schema": 1, **record}, indent=None)
        else:
            show(line_of(record))
    return 0


def clean(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="D", help="Only files untouched for D: 90s, 30m, 12h, 7d.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was not delivered yet.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    journal: JournalDir = None,
    as_json: AsJson = False,
) -> int:
    """Delete files of processes that have ended; what still waits to be sent only with --all.

    With --all also dead letters, which no backend takes, and damaged files that were set aside.
    Files of living processes are never touched. Exit code 1 when undelivered records were kept.
    """
    from otel_workflow.cli.output import show_json, tell
    from otel_workflow.cli.place import journal_directory
    from otel_workflow.cli.sweeping import seconds_of, sweep

    directory = journal_directory(journal)
    oldest = 0.0 if older_than is None else seconds_of(older_than)
    with sweep(directory, older_than=oldest, everything=everything) as found:
        if found.files and not yes:
            _ask(found, directory)
        deleted, freed = found.delete()
    if as_json:
        show_json(
            {
                "schema": 1,
                "journal": str(directory),
                "deleted": deleted,
                "bytes": freed,
                "kept_unshipped": found.unshipped,
                "kept_busy": found.busy,
            }
        )
    tell(f"{deleted} files deleted, {freed / 1024:.0f} KiB")
    if found.unshipped:
        tell(f"{found.unshipped} files kept: not delivered yet (send: otel-workflow ship; delete: --all)")
    if found.busy:
        tell(f"{found.busy} files kept: another process ships this journal")
    return _KEPT if found.unshipped else 0


def _ask(found: Sweep, directory: Path) -> None:
    """Ask on a terminal; elsewhere nobody can answer, so --yes is wanted."""
    import sys

    from otel_workflow.errors import ConfigError

    question = f"delete {len(found.files)} files of {directory}?"
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"{question} nobody is there to answer", code="OW-125", hint="give --yes")
    typer.confirm(question, abort=True, err=True)
