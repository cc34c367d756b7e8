"""Tells whether anybody is left who can end a phase.

A phase and the scope of its block refer to each other. As long as the block runs, its interpreter
frame refers to the scope as well; without that, only what the scope has opened does. So references
are counted: a weak reference for each phase would cost a quarter of what an open one may hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ("is_orphan",)

_count: Callable[[Any], int] | None = getattr(sys, "getrefcount", None)
"""None where references are not counted: there a phase is never taken for an orphan."""


class _Lonely:
    """Something whose holder is referred to from nowhere else."""

    __slots__ = ("_holder",)

    def __init__(self) -> None:
        self._holder = object()


class _Learned:
    """What is counted where nobody else refers: how many a count itself adds differs between interpreters."""

    alone = 0


def _learn(one: Any) -> int:
    _Learned.alone = _count(one._holder) if _count is not None else 0
    return _Learned.alone


def is_orphan(phase: Any) -> bool:
    """Return True when nothing but what it has opened refers to the scope of a phase."""
    if _count is None:
        return False
    beyond_one = _count(phase._holder) - (_Learned.alone or _learn(_Lonely()))
    return beyond_one <= 0 or (phase._holder._has_several and beyond_one < phase._holder._count())
