"""Where a command's words go: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_workflow.errors import OtelWorkflowError

if TYPE_CHECKING:
    from otel_workflow.report.style import Style

__all__ = (
    "ClosedPipeError",
    "complain",
    "flush",
    "let_go_of_stdout",
    "prepare_streams",
    "screen_width",
    "show",
    "show_json",
    "stdout_style",
    "tell",
)

_PIPE_WIDTH = 100


class ClosedPipeError(Exception):
    """Nobody reads stdout any more; not an OSError, which Typer would turn into exit code 1."""


def prepare_streams() -> None:
    """Let a character that the encoding lacks appear escaped instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Write data to stdout, with a line end."""
    try:
        print(text)
    except BrokenPipeError as error:
        raise ClosedPipeError from error
    except OSError as error:
        raise _unwritable(error) from error


def show_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write one document to stdout; ``indent=None`` makes it one line of a stream."""
    from otel_workflow.report.document import plain

    show(json.dumps(plain(document), indent=indent, allow_nan=False))


def flush() -> None:
    """Hand everything to whoever reads stdout, so that trouble shows while it can be reported."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ClosedPipeError from error
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> OtelWorkflowError:
    let_go_of_stdout()
    return OtelWorkflowError(
        f"stdout cannot be written: {error.strerror}", code="OW-123", hint="give -o FILE or free space"
    )


def let_go_of_stdout() -> None:
    """Point stdout at nothing, or the interpreter complains about the closed pipe at its exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def tell(text: str) -> None:
    """Write a remark to stderr; a path or a name in it moves no cursor."""
    from otel_workflow.report.wording import printable

    try:
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr, flush=True)
    except OSError:
        return  # nobody listens to remarks: the command goes on


def complain(text: str) -> None:
    """Write what went wrong to stderr, in one line whatever it contains."""
    from otel_workflow.report.wording import printable

    tell(f"otel-workflow: {printable(text)}")


def stdout_style() -> Style:
    """Return what stdout can show."""
    from otel_workflow.report.style import Style

    return Style.of(sys.stdout, os.environ) if sys.stdout is not None else Style()


def screen_width() -> int:
    """Return how many columns a report may take: the terminal's, COLUMNS, or 100 in a pipe."""
    import shutil

    return shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
