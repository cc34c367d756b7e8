"""Makes attributes safe and writes them as JSON, in one pass over them.

``values.clean_attributes`` says what is safe, and takes whatever is not plain. What is plain (a
short ASCII text, a bool, an integer of 64 bits) is nearly everything. The names of attributes come
in the same few sets, and short texts repeat: both are kept in the form in which they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from otel_workflow.journal.record import dumps, quoted
from otel_workflow.masking import in_force, masked, names_secret
from otel_workflow.values import MAX_ITEMS, MAX_TEXT, MAX_TOTAL, clean_attributes

__all__ = ("Kept", "mapping_of", "written")

Kept = Mapping[str, Any] | tuple[Any, ...] | None
"""Clean attributes: a mapping, or a tuple of their names, themselves a tuple, and then the values."""

_INFINITE = float("inf")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SURROGATE = "\\ud"
"""What every surrogate begins with in JSON; where it is half of a pair, the long way is right too."""
_MOST_SETS, _MOST_NAMES, _LONGEST_NAME = 512, 32, 256
_MOST_TEXTS, _LONGEST_TEXT = 4096, 128
_NONE: Mapping[str, Any] = MappingProxyType({})


_SMALL = {number: str(number) for number in range(-1, 257)}


class _Known:
    """What was found to be plain while the same secrets were known; with one more it begins anew.

    ``sets`` are sets of names with the JSON object into which the values go, ``texts`` are values as
    JSON.
    """

    __slots__ = ("secrets", "sets", "texts")

    def __init__(self, secrets: object) -> None:
        self.secrets = secrets
        self.sets: dict[tuple[Any, ...], tuple[tuple[Any, ...], str]] = {}
        self.texts: dict[str, str] = {}


class _Held:
    """Where it is held, so that no module variable is rebound."""

    known = _Known(None)


def written(attributes: Mapping[str, object] | None) -> tuple[Kept, str]:
    """Return what ``clean_attributes`` returns, and the same masked as JSON; never raises."""
    if attributes is None:
        return None, ""
    if type(attributes) is dict and (plain := _plain(attributes.copy())) is not None:
        return plain
    clean = clean_attributes(attributes)
    return (clean, dumps(clean)) if clean else (None, "")


def mapping_of(kept: Kept) -> Mapping[str, Any]:
    """Return attributes as ``written`` kept them by name."""
    if type(kept) is tuple:
        return dict(zip(kept[0], kept[1:], strict=True))
    return _NONE if kept is None else kept  # type: ignore[return-value]


def _plain(attributes: dict[Any, Any]) -> tuple[Kept, str] | None:
    """Return attributes as they are kept and as JSON, or None when one of them is not plain or is changed by a mask."""
    known, secrets = _Held.known, in_force()
    if known.secrets is not secrets:
        known = _Held.known = _Known(secrets)
    names, texts, said = tuple(attributes), known.texts, []
    found = known.sets.get(names) or _set_of(names, known)
    if found is None:
        return None
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            text = texts.get(value) or _text(value, texts)
        elif kind is int:
            text = _SMALL.get(value) or (str(value) if _INT_MIN <= value <= _INT_MAX else None)
        elif kind is bool:
            text = "true" if value else "false"
        else:
            text = repr(value) if kind is float and -_INFINITE < value < _INFINITE else None
        if text is None:
            return None
        said.append(text)
    text = found[1] % tuple(said)
    return ((found[0], *attributes.values()), text) if len(text) <= MAX_TOTAL else None


def _set_of(names: tuple[Any, ...], known: _Known) -> tuple[tuple[Any, ...], str] | None:
    """Return a set of names and the object they make; None if one has to be cleaned first, or is a secret's."""
    if not 0 < len(names) <= MAX_ITEMS:
        return None
    for name in names:
        if type(name) is not str or not name or len(name) > _LONGEST_NAME or not name.isascii():
            return None
        if names_secret(name) or masked(name) is not name:
            return None
    made = names, f"{{{','.join([quoted(name).replace('%', '%%') + ':%s' for name in names])}}}"
    if len(names) <= _MOST_NAMES:
        if len(known.sets) >= _MOST_SETS:
            known.sets.clear()
        known.sets[names] = made
    return made


def _text(value: str, texts: dict[str, str]) -> str | None:
    """Return a text as JSON; None for one that is too long, would be masked, or cannot be encoded."""
    if len(value) > MAX_TEXT or masked(value) is not value:
        return None
    said = quoted(value)
    if _SURROGATE in said:  # lone ones have to be written out
        return None
    if len(value) <= _LONGEST_TEXT:
        if len(texts) >= _MOST_TEXTS:
            texts.clear()
        texts[value] = said
    return said
