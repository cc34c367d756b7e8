"""How a command ends: its exit code, and at most one line about what went wrong.

0 done, 2 usage or setting, 130 and 143 signals, 141 closed pipe; anything else is a verb's own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import typer

from otel_workflow.cli.app import PROGRAM, command
from otel_workflow.cli.output import ClosedPipeError, complain, flush, prepare_streams
from otel_workflow.errors import OtelWorkflowError
from otel_workflow.report.wording import printable

__all__ = ("USAGE", "exit_code_of")

USAGE = "OW-120"
"""The code of everything that is wrong with a command's words."""
_WRONG, _SIGNALLED = 2, 128
# Typer moved its copy of click between releases; the class it raises is found by its child.
_CLICK_ERROR: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def exit_code_of(arguments: Sequence[str] | None) -> int:
    """Run a command to its end, whichever that is; never shows a traceback for what is expected."""
    prepare_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = command().main(args=given, prog_name=PROGRAM, standalone_mode=False)
        flush()
    except OtelWorkflowError as error:
        complain(str(error))
        return _WRONG
    except _CLICK_ERROR as error:
        complain(_usage(error))
        return _WRONG
    except ClosedPipeError:
        _let_go_of_stdout()
        return _SIGNALLED + signal.SIGPIPE
    except (KeyboardInterrupt, typer.Abort):
        return _SIGNALLED + signal.SIGINT
    except OSError as error:
        complain(f"OW-123: {printable(str(error))}")
        return _WRONG
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> str:
    """Write Typer's message as one line: what is wrong, and where to read on."""
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    said = printable(" ".join(str(said).split())).rstrip(".")
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", PROGRAM)
    return f"{USAGE}: {said[:1].lower()}{said[1:]} ({path} --help)"


def _let_go_of_stdout() -> None:
    """Point stdout at nothing, or the interpreter complains about the closed pipe at its exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
