"""The table of verbs, as Typer shows it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from otel_workflow.cli.verbs import journal
from otel_workflow.cli.verbs.demo import demo
from otel_workflow.cli.verbs.doctor import doctor
from otel_workflow.cli.verbs.report import report
from otel_workflow.cli.verbs.runs import runs
from otel_workflow.cli.verbs.ship import ship
from otel_workflow.cli.verbs.status import status

__all__ = ("PROGRAM", "command")

PROGRAM = "otel-workflow"
_COMPLETE = "_OTEL_WORKFLOW_COMPLETE"
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


def command() -> Any:
    """Return the whole command; made at each call, which takes a few milliseconds."""
    app = typer.Typer(name=PROGRAM, **_SETTINGS)
    app.callback(invoke_without_command=True)(_top)
    for verb in (demo, report, runs, ship, status, doctor):
        app.command(verb.__name__)(verb)
    files = typer.Typer(name="journal", help="Look at, check and delete journal files.", **_SETTINGS)
    for part in (journal.verify, journal.cat, journal.clean):
        files.command(part.__name__)(part)
    app.add_typer(files)
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback
    if wanted:
        from otel_workflow.cli.output import show  # noqa: PLC0415
        from otel_workflow.version import VERSION  # noqa: PLC0415

        show(f"{PROGRAM} {VERSION}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell is None:
        return
    if shell not in _SHELLS:
        raise typer.BadParameter(f"{shell!r} is not one of {', '.join(_SHELLS)}")
    from typer.completion import get_completion_script  # noqa: PLC0415

    from otel_workflow.cli.output import show  # noqa: PLC0415

    show(get_completion_script(prog_name=PROGRAM, complete_var=_COMPLETE, shell=shell))
    raise typer.Exit


def _top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    completion: Annotated[
        str | None,
        typer.Option(
            "--show-completion",
            metavar="SHELL",
            is_eager=True,
            callback=_show_completion,
            help="Show the completion script for bash, zsh, fish or powershell and exit.",
        ),
    ] = None,
) -> None:
    """Every phase of every workflow, made visible."""
    del version, completion  # their callbacks have done it
    if context.invoked_subcommand is None:
        from otel_workflow.cli.output import show  # noqa: PLC0415

        show(context.get_help())
