"""What the process does to the buses: it forks, and it ends.

Nothing is registered at import; the first subscription of a process registers both hooks.
"""

from __future__ import annotations

import atexit
import os
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from otel_workflow.bus.shapes import Bus

__all__ = ("look_after",)

_buses: WeakSet[Bus] = WeakSet()


def look_after(bus: Bus) -> None:
    """Have a bus told of forks and of the process's end."""
    _register()
    _buses.add(bus)


@cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    atexit.register(_at_exit)


def _before_fork() -> None:
    for bus in list(_buses):
        bus._before_fork()


def _after_in_parent() -> None:
    for bus in list(_buses):
        bus._after_fork_in_parent()


def _after_in_child() -> None:
    for bus in list(_buses):
        bus._after_fork_in_child()


def _at_exit() -> None:
    for bus in list(_buses):
        bus._at_exit()
