"""The options that every verb has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ("AsJson", "JournalDir", "RunName")

JournalDir = Annotated[
    Path | None, typer.Option("--journal", metavar="DIR", help="The journal's directory; default: see 'status'.")
]
AsJson = Annotated[bool, typer.Option("--json", help='One JSON document with "schema": 1 on stdout.')]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="last, last-green, or the beginning of a run or trace id.")]
