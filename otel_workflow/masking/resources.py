"""Masks what a process says about itself: a resource's attributes, of the command line only the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_workflow.masking.texts import masked, masked_value

__all__ = ("masked_resource",)


def masked_resource(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource's attributes, masked; arguments of a command line are left out, None values too.

    The conventions' ``process.command_args`` and ``process.command_line`` come from detectors that
    a user switched on; arguments are where people put passwords, and no list of flags is complete.
    """
    made = {key: masked_value(key, value) for key, value in attributes.items() if value is not None}
    arguments, line = made.get("process.command_args"), made.get("process.command_line")
    if isinstance(arguments, list | tuple):
        made["process.command_args"] = list(arguments[:1])
    if isinstance(line, str):
        program = arguments[0] if isinstance(arguments, list | tuple) and arguments else line.partition(" ")[0]
        made["process.command_line"] = masked(str(program))
    return made
