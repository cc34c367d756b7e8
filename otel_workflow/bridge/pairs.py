"""Builds the span of a usual phase straight from its two records: the bridge's fast road.

Nearly every phase is one start and one end of one process, in order. Two such spans of the same
definition differ in ids, times, run and attributes only, so one is built the ordinary way
(``traces.py``), its bytes are cut where those stand, and every other fills the gaps. Nothing of a
span's meaning is known here: a form is used only after two fillings, the pair's own and one made
up, were byte for byte what the ordinary way gives, and never for a pair that is unusual.

A form is found by all that two records say beyond what fills a gap. Cutting a value out of JSON
text without parsing the rest is safe, because the text around it is equal: whatever stands in the
gap stands at the same place of the same object.
"""

from __future__ import annotations

import json
import re
import struct
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from otel_workflow.bridge.otlp import SPAN_ATTRIBUTES, encode_attributes, encode_pairs, encode_span
from otel_workflow.bridge.span_data import SpanData
from otel_workflow.bridge.traces import span_of
from otel_workflow.errors import DecodeError
from otel_workflow.journal.record import EVENT_HEAD, decode_event
from otel_workflow.runs import PhaseRun

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("PairEncoder", "span_of_pair")

_BODY = EVENT_HEAD.size
_TIME, _TIMED = 36, 44  # where an event record has its wall time, after the three ids
_time_of = struct.Struct("<Q").unpack_from
_time = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack
_NO_PARENT = b"\x00" * 8
_START, _COMMA = b',"start":', b","
_DIGITS = 19  # of a time in ns from 2001 to 2286
_ATTRIBUTES = b'"attributes":'
_ZERO = b"0"[0]
_KEPT, _LONGEST = 2048, 4096  # forms, trails; bytes of a text that is kept
_KEPT_SAID = 512  # texts: few enough to stay in a processor's own cache
_scan = json.JSONDecoder().raw_decode
_run_in = re.compile(rb'"run":"([ !#-\[\]-~]{8,256})"').search  # no escape, and nothing JSON forbids
_NONE: frozenset[str] = frozenset()
_ATTRIBUTES_HERE, _RUN_HERE = b"\x01", b"\x02"
"""Stand where a value was cut out of JSON text. Text with such a byte in it is not JSON, and so no pair's."""

_FIRST, _LAST = "otel_workflow.gap.start", "otel_workflow.gap.end"

_Said = tuple[bytes, frozenset[str]]
"""Attributes as OTLP has them, and their names."""
_NOTHING: _Said = (b"", _NONE)
_Values = tuple[bytes, ...]
"""What fills the gaps: trace id, span id, parent's, start, end, the first two in hex, the duration in s, the
run, attributes of the start and of the end."""
_SURE = (0, 1, 3, 4, 7)
"""Those that every span has; one that lacks any takes it from elsewhere in its records."""


class _Body(NamedTuple):
    """A record's JSON, taken apart: its text without run and attributes, and these, as OTLP has them."""

    around: bytes
    run: bytes
    attributes: bytes
    names: frozenset[str]


class _Form(NamedTuple):
    """A span's bytes with ``%b`` for each gap, what goes there, and the names of the attributes beside the gaps."""

    template: bytes
    chosen: Callable[[_Values], tuple[bytes, ...]]
    names: frozenset[str]


class _Trail(NamedTuple):
    """How the last pair went on that began with some text, so that the next one is known by comparing bytes.

    ``began`` and ``kind`` are how its two records begin, ``length`` is its run id's. ``before`` is the end's
    text up to the time of its start, ``opened`` from there to the attributes, ``closed`` what follows them.
    """

    began: bytes
    kind: bytes
    is_root: bool
    length: int
    before: bytes
    opened: bytes
    closed: bytes
    form: _Form


class _Filling(NamedTuple):
    """Values that no real phase has: they stand in the gaps of a pair while its form is made."""

    ids: bytes
    began: int
    ended: int
    letters: bytes
    said: object

    def records(self, start: bytes, end: bytes, first: _Body, last: _Body) -> tuple[bytes, bytes]:
        """Return two records that say these values, and else what the pair says."""
        ids = self.ids if start[28:_TIME] != _NO_PARENT else self.ids[:24] + _NO_PARENT
        begun = self._text(first, _FIRST)
        over = self._text(last, _LAST).replace(_START + _COMMA, b"%b%d," % (_START, self.began), 1)
        return (
            start[:4] + ids + _time(self.began) * 2 + begun,
            end[:4] + ids + _time(self.ended) * 2 + over,
        )

    def _text(self, body: _Body, name: str) -> bytes:
        said = json.dumps({name: self.said}).encode()
        return body.around.replace(_ATTRIBUTES_HERE, said).replace(_RUN_HERE, self.run(len(body.run)))

    def run(self, length: int) -> bytes:
        return (self.letters * length)[:length]

    def values(self, first: _Body, last: _Body) -> _Values:
        """Return what then stands in the gaps of the span."""
        made = [
            encode_attributes(SPAN_ATTRIBUTES, {name: self.said}) if _ATTRIBUTES_HERE in body.around else b""
            for body, name in ((first, _FIRST), (last, _LAST))
        ]
        ids, times = self.ids, (self.began, self.ended)
        return _values(ids[:16], ids[16:24], ids[24:], *times, self.run(len(first.run)), *made)


def _values(
    trace: bytes, span: bytes, parent: bytes, began: int, ended: int, run: bytes, first: bytes, last: bytes
) -> _Values:
    lasted = _double((ended - began) / 1e9)
    return (
        trace, span, parent, _time(began), _time(ended), trace.hex().encode(), span.hex().encode(), lasted,
        run, first, last,
    )  # fmt: skip


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
        self._said: dict[bytes, _Said] = {}
        self._trails: dict[bytes, _Trail] = {}
        self._forms: dict[tuple[object, ...], _Form | None] = {}
        self._once: set[tuple[object, ...]] = set()

    def span(self, start: bytes, end: bytes) -> bytes | None:
        """Return the span's bytes, or None when the pair is to go the ordinary way.

        The records are the payloads of a start and of an end event with the same ids.
        """
        began, ended = _time_of(start, _TIME)[0], _time_of(end, _TIME)[0]
        if not 0 < began < ended:
            return None
        begun = start[_BODY:]
        first = self._bodies.get(begun) or self._body(begun)
        if first is None:
            return None
        trail = self._trails.get(first.around)
        last = self._followed(trail, first, start, end) if trail is not None else None
        if trail is None or last is None:
            trail, last = self._found(first, start, end)
            if trail is None or last is None:
                return None
        form, (said, names) = trail.form, last
        if not _are_disjoint(form.names, first.names, names):
            return None
        trace, span = start[4:20], start[20:28]
        return form.template % form.chosen(
            (
                trace,
                span,
                start[28:_TIME],
                start[_TIME:_TIMED],
                end[_TIME:_TIMED],
                trace.hex().encode(),
                span.hex().encode(),
                _double((ended - began) / 1e9),
                first.run,
                first.attributes,
                said,
            )
        )

    def _followed(self, trail: _Trail, first: _Body, start: bytes, end: bytes) -> _Said | None:
        """Return the attributes of an end that differs from the last one of its kind in values only; else None."""
        began, kind, is_root, length, before, opened, closed, _ = trail
        run = first.run
        if run:
            before = before.replace(_RUN_HERE, run)
        at = _BODY + len(before)
        after = at + _DIGITS
        if not (
            end.startswith(before, _BODY)
            and end.startswith(opened, after)
            and end.endswith(closed, after)
            and len(run) == length
            and end[:4] == kind
            and start[:4] == began
            and (start[28:_TIME] == _NO_PARENT) is is_root
            and end[at:after].isdigit()
            and end[at] != _ZERO
        ):
            return None
        if not closed:
            return _NOTHING if len(end) == after + len(opened) else None
        text = end[after + len(opened) : -len(closed)]
        return self._said.get(text) or self._read(text)

    def _read(self, text: bytes) -> _Said | None:
        """Return attributes that are all of a text, as OTLP has them; None for anything else."""
        try:
            said, size = _scan(text.decode())
        except (ValueError, RecursionError):
            return None
        if type(said) is not dict or size != len(text):  # where it is not ASCII the one counts characters
            return None
        made = encode_pairs(SPAN_ATTRIBUTES, said.items()), frozenset(said)
        if len(self._said) >= _KEPT_SAID:
            self._said.clear()
        if len(text) <= _LONGEST:
            self._said[text] = made
        return made

    def _found(self, first: _Body, start: bytes, end: bytes) -> tuple[_Trail | None, _Said | None]:
        """Return the form of a pair of whatever kind and the attributes of its end; it is the next one's trail."""
        at = end.find(_START, _BODY) + len(_START)
        after = at + _DIGITS
        if at < _BODY or not (end[at:after].isdigit() and end[at] != _ZERO and end.startswith(_COMMA, after)):
            return None, None
        last = _taken_apart(end[_BODY:at] + end[after:])
        if last is None or first.run != last.run or not first.names.isdisjoint(last.names):
            return None, None
        is_root = start[28:_TIME] == _NO_PARENT
        key = start[:4], end[:4], is_root, len(first.run), first.around, last.around
        try:
            form = self._forms[key]
        except KeyError:
            form = self._learn(key, start, end, first, last)
        if form is None:
            return None, None
        before, _, over = last.around.partition(_START)
        opened, _, closed = over.partition(_ATTRIBUTES_HERE)
        trail = _Trail(start[:4], end[:4], is_root, len(first.run), before + _START, opened, closed, form)
        if _ATTRIBUTES_HERE not in before and _RUN_HERE not in over:
            if len(self._trails) >= _KEPT:
                self._trails.clear()
            self._trails[first.around] = trail
        return trail, (last.attributes, last.names)

    def _body(self, text: bytes) -> _Body | None:
        body = _taken_apart(text)
        if body is not None and len(text) <= _LONGEST:
            if len(self._bodies) >= _KEPT_SAID:
                self._bodies.clear()
            self._bodies[text] = body
        return body

    def _learn(self, key: tuple[object, ...], start: bytes, end: bytes, first: _Body, last: _Body) -> _Form | None:
        if len(first.around) + len(last.around) > _LONGEST:
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
    """Cut out the first value named attributes, then the first named run; None where bytes alone do not tell."""
    made, names = b"", _NONE
    at = text.find(_ATTRIBUTES) + len(_ATTRIBUTES)
    if at >= len(_ATTRIBUTES):
        if not text.isascii():
            return None
        try:
            said, size = _scan(text[at:].decode())
        except (ValueError, RecursionError):
            return None
        if type(said) is not dict:
            return None
        made, names = encode_pairs(SPAN_ATTRIBUTES, said.items()), frozenset(said)
        text = b"%b%b%b" % (text[:at], _ATTRIBUTES_HERE, text[at + size :])
    run = _run_in(text)
    if run is None:
        return _Body(text, b"", made, names)
    at, size = run.span(1)
    return _Body(b"%b%b%b" % (text[:at], _RUN_HERE, text[size:]), run[1], made, names)


def _form_of(start: bytes, end: bytes, first: _Body, last: _Body) -> _Form | None:
    """Cut the span of such a pair at its gaps; None if one is not where it should be."""
    known, other = _fillings()
    try:
        made = _span_data(*known.records(start, end, first, last))
        wanted = [span_of_pair(*other.records(start, end, first, last)), span_of_pair(start, end)]
    except DecodeError:
        return None
    gaps = {value: place for place, value in enumerate(known.values(first, last)) if value}
    pieces = re.split(b"(" + b"|".join(map(re.escape, gaps)) + b")", encode_span(made))
    found = [gaps[piece] for piece in pieces[1::2]]
    if not set(_SURE).issubset(found):
        return None
    form = _Form(
        b"%b".join(piece.replace(b"%", b"%%") for piece in pieces[::2]),
        itemgetter(*found),
        frozenset(made.attributes) - {_FIRST, _LAST},
    )
    own = _values(start[4:20], start[20:28], start[28:_TIME], _time_of(start, _TIME)[0], _time_of(end, _TIME)[0],
                  first.run, first.attributes, last.attributes)  # fmt: skip
    filled = [form.template % form.chosen(values) for values in (other.values(first, last), own)]
    return form if filled == wanted else None


@cache
def _fillings() -> tuple[_Filling, _Filling]:
    """Return the values by which the gaps are found, and others to make sure of them."""
    return (
        _Filling(
            b"\xb7\xd1\xc9\x4e\xa5\xf3\x82\x60" * 2 + b"\xd3\x8f\xe1\xb5\xc6\xa9\xf2\x97" + b"\x9e\xa1" * 4,
            1_234_567_890_123_456_789,
            1_987_654_321_098_765_432,
            b"Qz7Kx0Wv",
            1,
        ),
        _Filling(bytes(range(160, 192)), 1_111_111_111_222_222_222, 1_333_333_333_444_444_444, b"Jy4", "said"),
    )
