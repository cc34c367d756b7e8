"""The table of verbs, as Typer shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from otel_workflow.cli.output import ClosedPipeError
from otel_workflow.cli.verbs import journal
from otel_workflow.cli.verbs.bridge import bridge
from otel_workflow.cli.verbs.demo import demo
from otel_workflow.cli.verbs.doctor import doctor
from otel_workflow.cli.verbs.report import report
from otel_workflow.cli.verbs.runs import runs
from otel_workflow.cli.verbs.ship import ship
from otel_workflow.cli.verbs.status import status
from otel_workflow.errors import ConfigError
from otel_workflow.report.wording import printable

__all__ = ("PROGRAM", "run")

PROGRAM = "otel-workflow"
_COMPLETE = "_OTEL_WORKFLOW_COMPLETE"
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_SETTINGS: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


# Typer moved its copy of click between releases; the class that it raises is found by its child.
_CLICK_ERROR: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(arguments: Sequence[str]) -> int:
    """Run a verb and return its exit code; raises ConfigError (OW-120) for words it does not know."""
    if _COMPLETE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    try:
        code = _command().main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except _CLICK_ERROR as error:
        raise _usage(error) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except SystemExit as error:  # what Typer makes of a closed pipe, and its own end of a completion
        if isinstance(error.__context__, BrokenPipeError):
            raise ClosedPipeError from error
        code = error.code
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> ConfigError:
    """Say Typer's message as one line: what is wrong, and where to read on."""
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    said = printable(" ".join(str(said).split())).rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
    return ConfigError(f"{said[:1].lower()}{said[1:]}", code="OW-120", hint=f"{path} --help")


def _command() -> Any:
    app = typer.Typer(name=PROGRAM, **_SETTINGS)
    app.callback(invoke_without_command=True)(_top)
    for verb in (demo, report, runs, ship, bridge, status, doctor):
        app.command(verb.__name__)(verb)
    files = typer.Typer(name="journal", help="Look at, check and delete journal files.", **_SETTINGS)
    for part in (journal.verify, journal.cat, journal.clean):
        files.command(part.__name__)(part)
    app.add_typer(files)
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from otel_workflow.cli.output import show
        from otel_workflow.version import VERSION

        show(f"{PROGRAM} {VERSION}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell is None:
        return
    if shell not in _SHELLS:
        raise typer.BadParameter(f"{shell!r} is not one of {', '.join(_SHELLS)}")
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    from otel_workflow.cli.output import show

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
        from otel_workflow.cli.output import show

        show(context.get_help())
