"""The short way to ``status``: no Typer and no pydantic for a verb that must answer at once.

Understands exactly what the verb's table in ``app.py`` says of it and leaves everything else,
``--help`` and mistakes included, to Typer.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

__all__ = ("quick_exit_code",)


def quick_exit_code(arguments: Sequence[str]) -> int | None:
    """Run a plain ``status`` and return its exit code; None when it is anything else."""
    if not arguments or arguments[0] != "status":
        return None
    journal, as_json = None, False
    words = iter(arguments[1:])
    for word in words:
        if word == "--json":
            as_json = True
        elif word == "--journal":
            journal = next(words, None)
            if journal is None:
                return None
        elif word.startswith("--journal="):
            journal = word.partition("=")[2]
        else:
            return None
    gc.disable()  # this process ends before there is garbage worth collecting
    from otel_workflow.cli.books import show_books

    return show_books(None if journal is None else Path(journal), as_json=as_json)
