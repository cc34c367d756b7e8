"""The options that every verb has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_workflow.errors import ConfigError

__all__ = ("AsJson", "JournalDir", "RunName", "seconds", "whole_number")

JournalDir = Annotated[
    Path | None, typer.Option("--journal", metavar="DIR", help="The journal's directory; default: see 'status'.")
]
AsJson = Annotated[bool, typer.Option("--json", help='One JSON document with "schema": 1 on stdout.')]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="last, last-green, or the beginning of a run or trace id.")]


def whole_number(flag: str, value: str, least: int) -> int:
    """Return a flag's value as an integer; raises ConfigError (OW-122) naming flag and value."""
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        raise ConfigError(f"{flag}={value!r} is not a whole number from {least}", code="OW-122", hint=f"{flag} 20")
    return int(value)


def seconds(flag: str, value: str) -> float:
    """Return a flag's value in seconds; raises ConfigError (OW-122) naming flag and value."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ConfigError(f"{flag}={value!r} is not a number of seconds", code="OW-122", hint=f"{flag} 60")
    return number
