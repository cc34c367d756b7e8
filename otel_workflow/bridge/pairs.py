"""Builds the span of a usual phase straight from its two records: the bridge's fast road.

Nearly every phase is one start and one end of one process, in order. Two such spans of the same
definition differ in ids, times and attributes only, so one is built the ordinary way
(``traces.py``), its bytes are cut where those stand, and every other fills the gaps. Nothing of a
span's meaning is known here: a form whose first filling is not byte for byte what the ordinary
way gives is never used, and neither is any for a pair that is unusual.

A form is found by all that two records say beyond what fills a gap. Cutting a value out of JSON
text without parsing the rest is safe, because the text around it is equal: whatever stands in the
gap stands at the same place of the same object.
"""

from __future__ import annotations

import json
import re
import struct
from functools import cache
from typing import NamedTuple

from otel_workflow.bridge.otlp import SPAN_ATTRIBUTES, encode_attributes, encode_span
from otel_workflow.bridge.span_data import SpanData
from otel_workflow.bridge.traces import span_of
from otel_workflow.errors import DecodeError
from otel_workflow.journal.record import EVENT_HEAD, decode_event
from otel_workflow.runs import PhaseRun

__all__ = ("PairEncoder", "span_of_pair")

_BODY = EVENT_HEAD.size
_head_of = struct.Struct("<4s16s8s8sQ").unpack_from
"""version with transition and flags, trace id, span id, parent span id, wall ns."""
_time = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack
_NO_PARENT = b"\x00" * 8
_START = b',"start":'
_DIGITS = 19  # of a time in ns from 2001 to 2286
_ATTRIBUTES = b'"attributes":'
_ZERO, _COMMA = b"0,"
_KEPT, _LONGEST = 2048, 4096  # forms and bodies; bytes of one
_scan = json.JSONDecoder().raw_decode

# Values that no real phase has: they stand in the gaps while a form is made.
_TRACE, _SPAN, _PARENT = b"\xb7\xd1\xc9\x4e\xa5\xf3\x82\x60" * 2, b"\xd3\x8f\xe1\xb5\xc6\xa9\xf2\x97", b"\x9e\xa1" * 4
_BEGAN, _ENDED = 1_234_567_890_123_456_789, 1_987_654_321_098_765_432
_FIRST, _LAST = "otel_workflow.gap.start", "otel_workflow.gap.end"
_OPTIONAL = (2, 5, 6, 7)  # gaps that a span may lack: its parent, its id in hex, the attributes


@cache
def _gaps() -> tuple[bytes, ...]:
    """Return what stands in the gaps while a form is made, in the order in which a span has them."""
    return (
        _TRACE,
        _SPAN,
        _PARENT,
        _time(_BEGAN),
        _time(_ENDED),
        _SPAN.hex().encode(),
        encode_attributes(SPAN_ATTRIBUTES, {_FIRST: 1}),
        encode_attributes(SPAN_ATTRIBUTES, {_LAST: 1}),
        _time(_BEGAN),
        _time(_ENDED),
        _double((_ENDED - _BEGAN) / 1e9),
    )


class _Body(NamedTuple):
    """A record's JSON, taken apart: the text around its attributes, and these as OTLP has them."""

    around: tuple[bytes, ...]
    attributes: bytes
    names: frozenset[str]


class _Form(NamedTuple):
    """A span's bytes with ``%b`` for each gap, and the names of the attributes beside the gaps."""

    template: bytes
    names: frozenset[str]

    def fill(self, head: tuple[bytes, bytes, bytes, bytes, int], ended: int, first: bytes, last: bytes) -> bytes:
        _, trace, span, parent, began = head
        t0, t1 = _time(began), _time(ended)
        if parent == _NO_PARENT:
            parent = b""
        lasted = _double((ended - began) / 1e9)
        return self.template % (trace, span, parent, t0, t1, span.hex().encode(), first, last, t0, t1, lasted)


def span_of_pair(start: bytes, end: bytes) -> bytes:
    """Return the span of a start and an end record the ordinary way; raises DecodeError (OW-302)."""
    return encode_span(_span_data(start, end))


def _span_data(start: bytes, end: bytes) -> SpanData:
    phase = PhaseRun(start[4:20].hex(), start[20:28].hex())
    phase.add(decode_event(start), "")
    phase.add(decode_event(end), "")
    return span_of(phase)


class PairEncoder:
    """Encodes pairs of records by forms that it learns from them; bounded in number.

    A form is made when its like comes for the second time: many come once.
    """

    def __init__(self) -> None:
        self._bodies: dict[bytes, _Body] = {}
        self._forms: dict[tuple[object, ...], _Form | None] = {}
        self._once: set[tuple[object, ...]] = set()

    def span(self, start: bytes, end: bytes) -> bytes | None:
        """Return the span's bytes, or None when the pair is to go the ordinary way.

        The records are the payloads of a start and of an end event with the same ids.
        """
        head = _head_of(start)
        kind, _, _, _, ended = _head_of(end)
        at = end.find(_START, _BODY) + len(_START)
        after = at + _DIGITS
        if not (0 < head[4] < ended and end[at:after].isdigit() and end[at] != _ZERO and end[after] == _COMMA):
            return None
        begun, over = start[_BODY:], end[_BODY:at] + end[after:]
        first = self._bodies.get(begun) or self._body(begun)
        last = self._bodies.get(over) or self._body(over)
        if first is None or last is None:
            return None
        key = head[0], kind, head[3] == _NO_PARENT, first.around, last.around
        try:
            form = self._forms[key]
        except KeyError:
            form = self._learn(key, start, end, first, last)
        if form is None or not _are_disjoint(form.names, first.names, last.names):
            return None
        return form.fill(head, ended, first.attributes, last.attributes)

    def _body(self, text: bytes) -> _Body | None:
        body = _taken_apart(text) if len(text) <= _LONGEST else None
        if body is not None:
            if len(self._bodies) >= _KEPT:
                self._bodies.clear()
            self._bodies[text] = body
        return body

    def _learn(self, key: tuple[object, ...], start: bytes, end: bytes, first: _Body, last: _Body) -> _Form | None:
        if not first.names.isdisjoint(last.names):
            return None
        if key not in self._once:
            if len(self._once) >= _KEPT:
                self._once.clear()
            self._once.add(key)
            return None
        if len(self._forms) >= _KEPT:
            self._forms.clear()
        form = self._forms[key] = _form_of(start, end, first, last)
        return form


def _are_disjoint(fixed: frozenset[str], first: frozenset[str], last: frozenset[str]) -> bool:
    """True when no attribute replaces another: then those of the gaps stand one after the other."""
    return (not first or (fixed.isdisjoint(first) and first.isdisjoint(last))) and (not last or fixed.isdisjoint(last))


def _taken_apart(text: bytes) -> _Body | None:
    """Cut the first value named attributes out; None where that cannot be done by bytes alone."""
    at = text.find(_ATTRIBUTES) + len(_ATTRIBUTES)
    if at < len(_ATTRIBUTES):
        return _Body((text,), b"", frozenset())
    if not text.isascii():
        return None
    rest = text[at:].decode()
    try:
        attributes, size = _scan(rest)
    except (ValueError, RecursionError):
        return None
    if type(attributes) is not dict:
        return None
    return _Body((text[:at], text[at + size :]), encode_attributes(SPAN_ATTRIBUTES, attributes), frozenset(attributes))


def _form_of(start: bytes, end: bytes, first: _Body, last: _Body) -> _Form | None:
    """Cut the span of such a pair at its gaps; None if one is not where it should be."""
    parent = _NO_PARENT if start[28:36] == _NO_PARENT else _PARENT
    ids, monotonic = _TRACE + _SPAN + parent, b"\x01" * 8
    began = (b'{"%s":1}' % _FIRST.encode()).join(first.around)
    ended = (b'{"%s":1}' % _LAST.encode()).join(last.around).replace(_START + b",", _START + b"%d," % _BEGAN, 1)
    try:
        made = _span_data(
            start[:4] + ids + _time(_BEGAN) + monotonic + began, end[:4] + ids + _time(_ENDED) + monotonic + ended
        )
        usual = span_of_pair(start, end)
    except DecodeError:
        return None
    gaps = _gaps()
    pieces = re.split(b"(" + b"|".join(map(re.escape, gaps)) + b")", encode_span(made))
    literals, found = pieces[::2], pieces[1::2]
    for place in _OPTIONAL:
        if found[place : place + 1] != [gaps[place]]:
            found.insert(place, gaps[place])
            literals.insert(place, b"")
    if tuple(found) != gaps:
        return None
    template = b"%b".join(literal.replace(b"%", b"%%") for literal in literals)
    form = _Form(template, frozenset(made.attributes) - {_FIRST, _LAST})
    filled = form.fill(_head_of(start), _head_of(end)[4], first.attributes, last.attributes)
    return form if filled == usual else None
