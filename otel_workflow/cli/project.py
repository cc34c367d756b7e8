"""The settings in a project's own file: ``[tool.otel-workflow]`` of its pyproject.toml.

Commands read it, the library never does. In a fork's pull request this file is a stranger's, so it
may set no path and no address (``settings.py`` says which), and reading it costs a bounded moment.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_workflow.errors import ConfigError
from otel_workflow.settings import Settings

__all__ = ("project_table", "read_settings")

_NAME = "pyproject.toml"
_MAX_BYTES = 1 << 20


def read_settings(environ: Mapping[str, str], arguments: Mapping[str, Any] | None = None) -> Settings:
    """Read all settings as a command does, the project's file last; raises ConfigError (OW-101)."""
    return Settings.read(environ, arguments, project_table(Path.cwd()))


def project_table(start: Path) -> Mapping[str, Any]:
    """Return ``[tool.otel-workflow]`` of the nearest pyproject.toml from ``start`` upwards, or nothing.

    The search ends with the repository: what lies above it is not this project's. Raises
    ConfigError (OW-101) for a file that is no TOML, too large, or whose table is none.
    """
    for place in (start, *start.parents):
        text = _text_of(place / _NAME)
        if text is not None:
            return _table(text, place / _NAME)
        if any(os.path.lexists(place / mark) for mark in (".git", ".hg")):
            break
    return {}


def _text_of(path: Path) -> bytes | None:
    """Return what is in a file; None where none is or it may not be read. A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", hint="set the OW_ variables instead")
    return text


def _table(text: bytes, path: Path) -> Mapping[str, Any]:
    try:
        tool = tomllib.loads(text.decode()).get("tool", {})
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad TOML are both ValueErrors
        raise ConfigError(f"{path} is not TOML: {error or 'too deep'}", hint="mend the file") from None
    table = tool.get("otel-workflow", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.otel-workflow={table!r} is not a table", hint="write [tool.otel-workflow]")
    return table
