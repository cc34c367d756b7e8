"""Makes any value safe to journal: bounded, encodable, and never raising.

Attribute values become str, bool, int (64 bits), float, or a list of one of these; anything else
becomes text. What is cut says so at its end. Numbers that JSON or OTLP cannot carry (NaN,
infinities, integers beyond 64 bits) become their decimal text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from otel_workflow.guard import guarded, text_of

__all__ = ("MAX_ITEMS", "MAX_TEXT", "clean_attributes", "clean_text", "clean_value")

MAX_TEXT = 16 * 1024
"""Longest text in characters."""
MAX_ITEMS = 128
"""Most attributes of one span or event, and most items of one list."""
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_DEPTH = 4


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text cut to ``limit`` characters, lone surrogates written as ``\\udcxx``."""
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _clean_number(value: float) -> float | str:
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return value
        return f"an integer of {value.bit_length()} bits" if value.bit_length() > 4096 else str(value)
    return value if math.isfinite(value) else text_of(value)


def clean_value(value: object, limit: int = MAX_TEXT, depth: int = 0) -> Any:
    """Return the value as an attribute can carry it."""
    kind = type(value)
    if kind is str:
        return clean_text(value, limit)  # type: ignore[arg-type]
    if kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return _clean_number(value)  # type: ignore[arg-type]
    if isinstance(value, bytes | bytearray | memoryview):
        return clean_text(bytes(value[: limit * 4]).decode("utf-8", "backslashreplace"), limit)
    if isinstance(value, list | tuple | set | frozenset) and depth == 0:
        return _clean_list(value, limit)
    if isinstance(value, list | tuple | set | frozenset | dict):
        return clean_text(_describe(value, depth, [1000]), limit)
    if isinstance(value, bool | int | float | str):  # sub-classes such as enums
        return _plain(value, limit)
    return clean_text(text_of(value), limit)


def _plain(value: float | str, limit: int) -> Any:
    if isinstance(value, str):
        return clean_text(str.__str__(value), limit)
    return _clean_number(int(value) if isinstance(value, int) else float(value))


def _clean_list(values: Iterable[object], limit: int) -> list[Any]:
    """A list of one type stays one; a mixed one becomes texts, as OTLP's attribute arrays ask."""
    items: list[Any] = []
    for item in values:
        if len(items) >= MAX_ITEMS:
            break
        items.append(clean_value(item, limit, 1))
    if len({type(item) for item in items if item is not None}) > 1:
        return [item if isinstance(item, str) or item is None else text_of(item) for item in items]
    return items


def _describe(value: object, depth: int, room: list[int]) -> str:
    """Write nested data as short text; depth and number of nodes are bounded, so recursion ends."""
    room[0] -= 1
    if depth >= _DEPTH or room[0] < 0:
        return "…"
    if isinstance(value, Mapping):
        pairs = islice(value.items(), MAX_ITEMS)
        return "{" + ", ".join(f"{text_of(k)}: {_describe(v, depth + 1, room)}" for k, v in pairs) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_describe(v, depth + 1, room) for v in islice(value, MAX_ITEMS)) + "]"
    return text_of(clean_value(value, 1024, depth))


def clean_attributes(attributes: Mapping[str, object] | None, limit: int = MAX_TEXT) -> dict[str, Any]:
    """Return at most 128 attributes with text keys and clean values; None values are left out."""
    clean: dict[str, Any] = {}
    if not attributes:
        return clean
    for key, value in attributes.items():
        if len(clean) >= MAX_ITEMS:
            break
        name = key if type(key) is str and key.isascii() else clean_text(text_of(key), 256)
        if value is not None and name:
            clean[name] = guarded("<unreadable>", clean_value, value, limit)
    return clean
