"""Texts from outside, made fit to be shown: one line, no control characters, no secrets of a URL."""

from __future__ import annotations

import re

__all__ = ("displayed", "one_line")

_LONGEST = 200


def one_line(said: str) -> str:
    """Return what a stranger wrote, fit for one line of a log or a terminal."""
    shown = "".join(c if c.isprintable() else " " for c in said[: 4 * _LONGEST])
    return " ".join(shown.split())[:_LONGEST]


def displayed(url: str) -> str:
    """Return a URL for logs and messages, without user information and query."""
    return one_line(re.sub(r"^([A-Za-z0-9+.-]+://)?[^/]*@", r"\1", re.split(r"[?#]", url, maxsplit=1)[0]))
