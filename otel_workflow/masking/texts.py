"""Masks a text: every secret in it that is known or looks like one becomes ``***``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from otel_workflow.masking.known import NOTHING, KnownSecrets, Spans
from otel_workflow.masking.names import names_password, names_secret
from otel_workflow.masking.shapes import find_shapes

__all__ = ("MASK", "excerpt", "hidden", "in_force", "mask", "masked", "masked_value")

MASK = "***"
_SHORTEST = 4
_DEEPEST = 32
_REACH = 4096
"""How far beyond what is kept of a long text a secret is looked for, in characters: a private key is shorter."""


class _Registry:
    """What is to be masked in this process."""

    __slots__ = ("known", "values")

    def __init__(self) -> None:
        self.values: dict[str, None] = {}
        self.known = NOTHING

    def add(self, secrets: Iterable[str]) -> None:
        """Take more secrets; from any thread, and without a lock, which a fork could leave held."""
        for secret in secrets:
            self.values[secret] = None
        while len(self.known.values) != len(self.values):
            self.known = self.known.with_more(tuple(self.values))


_registry = _Registry()


def mask(*secrets: str) -> None:
    """Register values that must never be recorded; shorter ones than four characters are refused.

    Their base64, URL-quoted, hexadecimal and JSON forms are masked with them. Masks what is said
    from now on, and what open phases have gathered and not yet written.
    """
    _registry.add(
        str.__str__(secret) for secret in secrets if isinstance(secret, str) and str.__len__(secret) >= _SHORTEST
    )


def in_force() -> KnownSecrets:
    """Return the known secrets; the same object for as long as none is added."""
    return _registry.known


def masked(text: str) -> str:
    """Return the text with ``***`` for every secret; the same object where there is none.

    Fast for a short text that was seen before, else about 20 µs for each KiB without a secret.
    """
    known = _registry.known
    if text in known.clean:
        return text
    if type(text) is not str:
        text = str.__str__(text)
    found = _find(text, known)
    if not found:
        known.remember(text)
        return text
    return _settled(_replaced(text, found, 0, len(text)), known)


def excerpt(text: str, start: int, stop: int) -> str:
    """Return a part of a long text, masked; a secret that is cut by either end is masked as well.

    ``start`` and ``stop`` are characters of the text. What stands further away than a secret
    reaches is not looked at, so the cost is that of the part.
    """
    known = _registry.known
    reach = max(known.reach, _REACH)
    first = max(start - reach, 0)
    window = text[first : stop + reach]
    found = _find(window, known)
    return _settled(_replaced(window, found, start - first, stop - first), known)


def hidden(name: str, value: Any) -> Any:
    """Return what may be shown of a clean value whose name says that it is a secret.

    A number is none, unless it is a password's: ``token`` may be a count.
    """
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return MASK if names_password(name) else value
    return [MASK for _ in value] if isinstance(value, list | tuple) else MASK


def masked_value(name: str, value: Any, depth: int = 0) -> Any:
    """Return an attribute's value masked: all of it if its name is a secret's, else the texts in it.

    The SDK takes nested lists, mappings and bytes as well; what lies deeper than 32 is masked whole.
    """
    if names_secret(name):
        return hidden(name, value)
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes):
        return _masked_bytes(value)
    if not isinstance(value, list | tuple | Mapping):
        return value
    return MASK if depth >= _DEEPEST else _masked_inside(value, depth + 1)


def _masked_inside(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_value(str(key), item, depth) for key, item in value.items()}
    return [masked_value("", item, depth) for item in value]


def _masked_bytes(value: bytes) -> bytes:
    said = value.decode("utf-8", "surrogateescape")
    shown = masked(said)
    return value if shown is said else shown.encode("utf-8", "surrogateescape")


def _find(text: str, known: KnownSecrets) -> Spans:
    found = find_shapes(text)
    if known.values:
        found += known.find(text)
    return found


def _replaced(text: str, found: Spans, start: int, stop: int) -> str:
    """Return start to stop of a text, with one mask for secrets that overlap or touch."""
    parts: list[str] = []
    at = start
    for first, last in _merged(found):
        if last > start and first < stop:
            parts += (text[at : max(first, at)], MASK)
            at = last
    parts.append(text[at : max(stop, at)])
    return "".join(parts)


def _merged(found: Spans) -> Spans:
    made: Spans = []
    for first, last in sorted(found):
        if made and first <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], last)
        else:
            made.append((first, last))
    return made


def _settled(text: str, known: KnownSecrets) -> str:
    """Look again where a mask may have completed another secret; each turn makes the text shorter."""
    while not known.is_whole(text):
        text = _replaced(text, known.find(text), 0, len(text))
    return text
