"""Makes any value safe to journal: bounded, encodable, and never raising.

Attribute values become str, bool, int (64 bits), float, or a list of one of these; anything else
becomes text. What is cut says so at its end. Numbers that JSON or OTLP cannot carry (NaN,
infinities, integers beyond 64 bits) become their decimal text. Secrets in a text are masked before
it is cut, and the whole value of an attribute whose name is a secret's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from otel_workflow.guard import guarded, text_of
from otel_workflow.masking import excerpt, hidden, in_force, masked, names_secret

__all__ = (
    "MAX_ITEMS",
    "MAX_TEXT",
    "MAX_TOTAL",
    "clean_attribute",
    "clean_attributes",
    "clean_text",
    "clean_value",
    "weight_of",
)

MAX_TEXT = 16 * 1024
"""Longest text in characters; for a list, of all its texts together."""
MAX_ITEMS = 128
"""Most attributes of one span or event, and most items of one list."""
MAX_TOTAL = 256 * 1024
"""Most characters of all attributes of one span or event together."""
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_KEY = 256
_DEPTH = 4
_NODES = 1000
_UNREADABLE = "<unreadable>"


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text masked and cut to ``limit`` characters, lone surrogates written as their escapes."""
    if type(text) is not str:
        text = str.__str__(text)  # a sub-class may lie about its length
    # Masked before it is cut: half a secret would be found by nobody.
    text = masked(text) if len(text) <= limit else f"{excerpt(text, 0, limit)[:limit]}… ({len(text)} characters)"
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clean_value(value: object, limit: int = MAX_TEXT, depth: int = 0) -> Any:
    """Return the value as an attribute can carry it; never raises."""
    kind = type(value)
    if kind is str:
        return clean_text(value, limit)  # type: ignore[arg-type]
    if kind is bool or value is None:
        return value
    if kind is int or kind is float:
        return _clean_number(value)  # type: ignore[arg-type]
    return guarded(_UNREADABLE, _clean_other, value, limit, depth)


def clean_attribute(name: str, value: object, limit: int = MAX_TEXT) -> Any:
    """Return the clean value of an attribute with this clean name; never raises."""
    made = clean_value(value, limit)
    return hidden(name, made) if names_secret(name) else made


def _clean_number(value: float) -> float | str:
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return value
        return f"an integer of {value.bit_length()} bits" if value.bit_length() > 4096 else str(value)
    return value if math.isfinite(value) else str(value)


def _clean_other(value: Any, limit: int, depth: int) -> Any:
    """Everything that is none of the plain types; asks for the type itself, since ``isinstance`` asks the value."""
    kind = type(value)
    if issubclass(kind, bytes | bytearray | memoryview):
        return clean_text(_start_of(value, limit * 4 + MAX_TEXT).decode("utf-8", "backslashreplace"), limit)
    if issubclass(kind, list | tuple | set | frozenset) and depth == 0:
        return _clean_list(value, limit)
    if issubclass(kind, list | tuple | set | frozenset | dict):
        return clean_text(_describe(value, depth, [_NODES, limit * 4]), limit)
    if issubclass(kind, int | float):  # sub-classes such as enums, past whatever they override
        return _clean_number(int.__int__(value) if issubclass(kind, int) else float.__float__(value))
    return clean_text(value if issubclass(kind, str) else text_of(value), limit)


def _start_of(value: Any, count: int) -> bytes:
    view = memoryview(value)
    return bytes(view[:count]) if view.ndim == 1 and view.itemsize == 1 else view.tobytes()[:count]


def _clean_list(values: Iterable[object], limit: int) -> list[Any]:
    """A list of one type stays one; a mixed one becomes texts, as OTLP's attribute arrays ask."""
    items: list[Any] = []
    room = limit
    for item in values:
        if len(items) >= MAX_ITEMS or room <= 0:
            break
        items.append(clean_value(item, room, 1))
        room -= weight_of(items[-1])
    if len({type(item) for item in items if item is not None}) > 1:
        return [item if isinstance(item, str) or item is None else str(item) for item in items]
    return items


def _describe(value: Any, depth: int, room: list[int]) -> str:
    """Write nested data as short text; depth, number of nodes and length are bounded, so recursion ends."""
    room[0] -= 1
    if depth >= _DEPTH or min(room) < 0:
        return "…"
    kind = type(value)
    if issubclass(kind, dict):
        pairs = islice(dict.items(value), MAX_ITEMS)
        return "{" + ", ".join([_describe_pair(k, v, depth, room) for k, v in pairs]) + "}"
    if issubclass(kind, list | tuple | set | frozenset):
        return "[" + ", ".join([_describe(v, depth + 1, room) for v in islice(value, MAX_ITEMS)]) + "]"
    said = str(clean_value(value, 1024, depth))
    room[1] -= len(said)
    return said


def _describe_pair(key: Any, value: Any, depth: int, room: list[int]) -> str:
    name = clean_text(text_of(key), _KEY)
    said = _describe(value, depth + 1, room)
    return f"{name}: {hidden(name, said) if names_secret(name) else said}"


def weight_of(value: object) -> int:
    """Return about how many characters a clean value takes."""
    if isinstance(value, str):
        return len(value)
    return sum(map(weight_of, value)) if isinstance(value, list) else 8


def clean_attributes(attributes: Mapping[str, object] | None, limit: int = MAX_TEXT) -> dict[str, Any]:
    """Return at most 128 attributes with text keys and clean values; None values are left out.

    Never raises: a mapping that cannot be read gives what could be read of it.
    """
    clean: dict[str, Any] = {}
    if attributes is not None:
        guarded(None, _fill, clean, attributes, limit)
    return clean


def _fill(clean: dict[str, Any], attributes: Mapping[str, object], limit: int) -> None:
    room, known = MAX_TOTAL, in_force()
    for key, value in islice(attributes.items(), _NODES):
        if len(clean) >= MAX_ITEMS:
            break
        # Names and short texts repeat from phase to phase: those seen before are known to be clean.
        if type(key) is str and key in known.names:
            if type(value) is str and value in known.clean and room > MAX_TEXT:
                clean[key] = value
                room -= len(value)
                continue
            name = key
        else:
            name = clean_text(key if type(key) is str else text_of(key), _KEY)
            if name and name is key and not names_secret(name):
                known.remember_name(name)
        if value is not None and name:
            # The last ones are cut short, rather than the whole record being too large to write.
            made = clean[name] = clean_attribute(name, value, min(limit, max(room, 64)))
            room -= weight_of(made)
