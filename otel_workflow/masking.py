"""Takes secrets out of free text before it is journalled, by their values.

A secret that was learned at run time is registered with ``mask()``; from then on every text that
contains it carries ``***`` in its place.
"""

from __future__ import annotations

__all__ = ("mask", "masked")

_secrets: list[str] = []
_SHORTEST = 4


def mask(*secrets: str) -> None:
    """Register values that must never be recorded; shorter ones than four characters are refused."""
    for secret in secrets:
        if isinstance(secret, str) and len(secret) >= _SHORTEST and secret not in _secrets:
            _secrets.append(secret)
    _secrets.sort(key=len, reverse=True)


def masked(text: str) -> str:
    """Return the text with every registered secret replaced by ``***``."""
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, "***")
    return text
