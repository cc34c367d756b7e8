"""Which journal a command reads: the one this project's programs write to, found without making it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from otel_workflow.errors import JournalError
from otel_workflow.journal.place import candidates

__all__ = ("journal_directory", "reason_for")


def journal_directory(given: Path | None) -> Path:
    """Return the journal's directory, which may not exist yet.

    Raises JournalError (OW-203) when a directory was given outright and is not there.
    """
    if given is not None:
        path = given.expanduser().absolute()
        if not _is_directory(path):
            what = "is not a directory" if os.path.lexists(path) else "does not exist"
            raise JournalError(
                f"the journal {str(path)!r} {what}", code="OW-203", hint="otel-workflow status says where it is"
            )
        return path
    places = [place.absolute() for place in candidates(os.environ, Path.cwd())]
    there = [place for place in places if _is_directory(place)]
    return next((place for place in there if os.access(place, os.W_OK | os.X_OK)), (there or places)[0])


def _is_directory(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir() raises where a parent cannot be searched


def reason_for(directory: Path, given: Path | None, environ: Mapping[str, str]) -> str:
    """Say why the journal is where it is, in a few words."""
    if given is not None:
        return "--journal"
    if environ.get("OW_JOURNAL", "").strip():
        return "OW_JOURNAL"
    named = (
        ("RUNNER_TEMP", "the runner's temporary directory, RUNNER_TEMP"),
        ("CI_PROJECT_DIR", "the CI project, CI_PROJECT_DIR"),
        ("XDG_STATE_HOME", "this project's place in the state directory, XDG_STATE_HOME"),
        ("HOME", "this project's place in the state directory"),
        ("XDG_RUNTIME_DIR", "this project's place in XDG_RUNTIME_DIR"),
    )
    for variable, why in named:
        base = environ.get(variable)
        if base and directory.is_relative_to(Path(base).absolute()):
            return why
    return "this project's place in the temporary directory"
