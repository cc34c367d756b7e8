"""Makes attributes safe and writes them as JSON, in one pass over them.

``values.clean_attributes`` says what is safe, and takes whatever is not plain. What is plain (a
short ASCII text, a bool, an integer of 64 bits) is nearly everything, and costs no call here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_workflow.guard import guarded
from otel_workflow.journal.record import dumps, quoted
from otel_workflow.masking import masked
from otel_workflow.values import MAX_ITEMS, MAX_TEXT, MAX_TOTAL, clean_attributes

__all__ = ("attributes_text", "written")

_INFINITE = float("inf")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_MOST_KEYS, _LONGEST_KEY = 1024, 256
_keys: dict[str, str] = {}
"""Keys as they begin a pair in JSON; a program has few of them, so the first thousand are kept."""


def written(attributes: Mapping[str, object] | None) -> tuple[dict[str, Any], str]:
    """Return what ``clean_attributes`` returns, and the same masked as JSON; never raises."""
    if attributes is None:
        return {}, ""
    pairs: list[str] = []
    clean: dict[str, Any] = {}
    if type(attributes) is dict and len(attributes) <= MAX_ITEMS and guarded(False, _plain, attributes, clean, pairs):
        return clean, f"{{{','.join(pairs)}}}" if pairs else ""
    clean = clean_attributes(attributes)
    return clean, attributes_text(clean) if clean else ""


def _plain(attributes: dict[str, object], clean: dict[str, Any], pairs: list[str]) -> bool:
    """Take attributes as long as all of them are plain; False when one is not."""
    room = MAX_TOTAL
    for key, value in attributes.items():
        if type(key) is not str or (name := _keys.get(key) or _begin(key)) is None:
            return False
        kind = type(value)
        if kind is str:
            room -= len(value)  # type: ignore[arg-type]
            if room < MAX_TEXT or len(value) > MAX_TEXT or not value.isascii():  # type: ignore[arg-type, attr-defined]
                return False
            pairs.append(name + quoted(masked(value)))  # type: ignore[arg-type]
        elif kind is bool:
            pairs.append(name + ("true" if value else "false"))
        elif kind is int and _INT_MIN <= value <= _INT_MAX:  # type: ignore[operator]
            pairs.append(f"{name}{value}")
        elif kind is float and -_INFINITE < value < _INFINITE:  # type: ignore[operator]
            pairs.append(f"{name}{value!r}")
        else:
            return False
        clean[key] = value
    return True


def _begin(key: str) -> str | None:
    """Return a key as it begins a pair, or None for one that has to be cleaned first."""
    if not key or len(key) > _LONGEST_KEY or not key.isascii():
        return None
    made = f"{quoted(key)}:"
    if len(_keys) < _MOST_KEYS:
        _keys[key] = made
    return made


def attributes_text(clean: Mapping[str, Any]) -> str:
    """Return clean attributes as JSON, with every text masked."""
    return dumps({key: masked(value) if type(value) is str else value for key, value in clean.items()})
