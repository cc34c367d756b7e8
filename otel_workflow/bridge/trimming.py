"""Makes a span that is too large for its backend fit: what takes most room goes first."""

from __future__ import annotations

import struct

from otel_workflow import semconv
from otel_workflow.bridge.otlp import encode_pair, varint, wire_fields

__all__ = ("trim_span",)

_ATTRIBUTES, _EVENTS, _LINKS = 9, 11, 13
_DROPPED = {_ATTRIBUTES: 10, _EVENTS: 12, _LINKS: 14}
_FIXED = {7: 1, 8: 1, 16: 5}
"""Wire types of the fields of ``Span`` that are neither varints nor lengths."""
_KEPT = 1024  # bytes of a text that was cut
_NAMED = 8  # cut attributes that the flag names
_FLAG_SIZE = 1024

_Field = tuple[int, int | bytes]


def trim_span(span: bytes, limit: int) -> bytes | None:
    """Return the span in at most ``limit`` bytes, flagged with what was cut; itself when it fits.

    The largest attributes go first, a long text down to its first 1,024 bytes, then events, then
    links, then other attributes, at last name and status are cut. Dropped items are counted as
    the protocol counts them. None when even that is too large. Equal spans give equal bytes.
    """
    if len(span) <= limit:
        return span
    try:
        fields = list(wire_fields(span))
        trimming = _Trimming(fields, limit - _FLAG_SIZE)
        trimming.shorten_attributes()
        for number in (_EVENTS, _LINKS, _ATTRIBUTES):
            trimming.drop(number)
        trimming.shorten_texts()
    except (ValueError, struct.error):
        return None
    done = trimming.flagged()
    return done if len(done) <= limit else None


class _Trimming:
    """The fields of one span, and how many bytes it still has too many."""

    def __init__(self, fields: list[_Field], limit: int) -> None:
        self._fields: list[_Field | None] = list(fields)
        self._excess = sum(len(_encoded(field)) for field in fields) - limit
        self._cut: list[str] = []
        self._dropped = dict.fromkeys(_DROPPED, 0)

    def shorten_attributes(self) -> None:
        for at, value in self._largest(_ATTRIBUTES):
            if self._excess <= 0:
                return
            key, text = _key_and_text(value)
            if len(text) <= 2 * _KEPT or len(key) > _KEPT:
                self._drop(at, value, _ATTRIBUTES)
            else:
                self._replace(at, _attribute(_shown(key, _KEPT), _shown(text, _KEPT) + " [trimmed]"))
            self._cut.append(_shown(key, 64))

    def drop(self, number: int) -> None:
        for at, value in self._largest(number):
            if self._excess <= 0:
                return
            self._drop(at, value, number)
            if number == _ATTRIBUTES:
                self._cut.append(_shown(_key_and_text(value)[0], 64))

    def shorten_texts(self) -> None:
        if self._excess <= 0:
            return
        for number in (3, 5, 15):
            for at, value in self._largest(number):
                if len(value) <= _KEPT:
                    continue
                if number == 3:  # a trace state that was cut would be a wrong one
                    self._replace(at, None)
                elif number == 5:
                    self._replace(at, (5, _shown(value, _KEPT).encode()))
                else:
                    code = dict(wire_fields(value)).get(3, 0)
                    self._replace(at, (15, _encoded((3, code)) if code else b""))

    def flagged(self) -> bytes:
        """Return the span's bytes with the flag and the counts of what was dropped, in the order of the fields."""
        fields = [field for field in self._fields if field is not None]
        for number, counter in _DROPPED.items():
            if self._dropped[number]:
                before = sum(value for n, value in fields if n == counter and isinstance(value, int))
                fields = [field for field in fields if field[0] != counter]
                fields.append((counter, min(before + self._dropped[number], 0xFFFFFFFF)))
        said = [*dict.fromkeys(self._cut)][:_NAMED]
        said += [
            f"{self._dropped[n]} {what}" for n, what in ((_EVENTS, "events"), (_LINKS, "links")) if self._dropped[n]
        ]
        fields.append(_attribute(semconv.TRIMMED, said or ["texts"]))
        return b"".join(_encoded(field) for field in sorted(fields, key=lambda field: field[0]))

    def _largest(self, number: int) -> list[tuple[int, bytes]]:
        found = [
            (at, field[1])
            for at, field in enumerate(self._fields)
            if field is not None and field[0] == number and isinstance(field[1], bytes)
        ]
        return sorted(found, key=lambda item: -len(item[1]))

    def _drop(self, at: int, value: bytes, number: int) -> None:
        self._replace(at, None)
        self._dropped[number] += 1

    def _replace(self, at: int, new: _Field | None) -> None:
        old = self._fields[at]
        self._excess -= (len(_encoded(old)) if old else 0) - (len(_encoded(new)) if new else 0)
        self._fields[at] = new


def _attribute(key: str, value: object) -> _Field:
    return next(wire_fields(b"\x4a" + encode_pair(key, value)))


def _key_and_text(pair: bytes) -> tuple[bytes, bytes]:
    """Return a KeyValue's key, and its value if that is a text."""
    said = dict(wire_fields(pair))
    key, value = said.get(1, b""), said.get(2, b"")
    text = dict(wire_fields(value)).get(1, b"") if isinstance(value, bytes) else b""
    return key if isinstance(key, bytes) else b"", text if isinstance(text, bytes) else b""


def _shown(text: bytes, most: int) -> str:
    """Return the beginning of a text, no character of it halved."""
    return text[:most].decode("utf-8", "ignore")


def _encoded(field: _Field) -> bytes:
    number, value = field
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    kind = _FIXED.get(number, 2)
    return varint(number << 3 | kind) + (varint(len(value)) if kind == 2 else b"") + value
