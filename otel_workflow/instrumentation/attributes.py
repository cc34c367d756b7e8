"""Makes attributes safe and writes them as JSON, in one pass over them.

``values.clean_attributes`` says what is safe, and takes whatever is not plain. What is plain (a
short ASCII text, a bool, an integer of 64 bits) is nearly everything, and costs no call here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from otel_workflow.journal.record import dumps, quoted
from otel_workflow.masking import in_force, masked, names_secret
from otel_workflow.values import MAX_ITEMS, MAX_TEXT, MAX_TOTAL, clean_attributes

__all__ = ("written",)

_INFINITE = float("inf")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SURROGATE = "\\ud"
"""What every surrogate begins with in JSON; where it is half of a pair, the long way is right too."""
_MOST_KEYS, _LONGEST_KEY = 1024, 256
_NONE: Mapping[str, Any] = MappingProxyType({})
_keys: dict[str, str] = {}
"""Keys as they begin a pair in JSON; a program has few of them, so the first thousand are kept."""


def written(attributes: Mapping[str, object] | None) -> tuple[Mapping[str, Any], str]:
    """Return what ``clean_attributes`` returns, and the same masked as JSON; never raises."""
    if attributes is None:
        return _NONE, ""
    if type(attributes) is dict and len(attributes) <= MAX_ITEMS:
        clean = {**attributes}  # from here on nobody else changes it
        if (text := _plain(clean)) is not None:
            return clean, text
    clean = clean_attributes(attributes)
    return clean, dumps(clean) if clean else ""


def _plain(attributes: dict[str, Any]) -> str | None:
    """Return attributes as JSON, masked, an empty text for none; None when one of them is not plain."""
    known = in_force()
    said, names, seen = "", known.names, known.clean
    for key, value in attributes.items():
        if type(key) is not str or (name := (_keys.get(key) if key in names else None) or _begin(key)) is None:
            return None
        kind = type(value)
        if kind is str:
            if value in seen:
                said += f",{name}{quoted(value)}"
            elif len(value) > MAX_TEXT:
                return None
            else:
                attributes[key] = shown = masked(value)
                said += f",{name}{quoted(shown)}"
        elif kind is bool:
            said += f",{name}true" if value else f",{name}false"
        elif (kind is int and _INT_MIN <= value <= _INT_MAX) or (kind is float and -_INFINITE < value < _INFINITE):
            said += f",{name}{value!r}"
        else:
            return None
    # Lone surrogates have to be written out, and far too much has to be cut.
    if _SURROGATE in said or len(said) > MAX_TOTAL:
        return None
    return f"{{{said[1:]}}}" if said else ""


def _begin(key: str) -> str | None:
    """Return a key as it begins a pair, or None for one that has to be cleaned first, or is a secret's."""
    if not key or len(key) > _LONGEST_KEY or not key.isascii() or names_secret(key) or masked(key) is not key:
        return None
    made = f"{quoted(key)}:"
    if len(_keys) >= _MOST_KEYS:
        _keys.clear()
        in_force().names.clear()
    _keys[key] = made
    in_force().remember_name(key)
    return made
