"""One row of the failure matrix."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Row",)


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, what must happen, and the tests that show it; or why there is none.

    ``tests`` are ``file::name`` below ``tests/``, all parameters of a test counting as one.
    """

    fault: str
    expected: str
    tests: tuple[str, ...] = ()
    why_not: str = ""
