"""OTLP trace bytes, written straight from Python data: protobuf without message objects.

Building message objects is nearly all of what the stock exporter's encoding costs; the bytes
themselves are simple. What is written here is byte for byte what
``opentelemetry-exporter-otlp-proto-common`` and ``SerializeToString`` give for the same data
(held by property tests), so a span can be sent twice and still be the same span.

Nothing here raises for what a user put into a span: a lone surrogate is written as its
backslash escape, an integer beyond 64 bits as text, an unknown type as its ``str()``.

The field numbers are those of ``trace.proto``, ``common.proto`` and ``resource.proto``. A tag is
``number << 3 | wire type``: type 0 is a varint, 1 eight bytes, 2 a length and that many bytes,
5 four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from otel_workflow.bridge.span_data import SpanData, SpanEvent, SpanLink
from otel_workflow.guard import guarded, text_of

__all__ = (
    "Group",
    "encode_attributes",
    "encode_pair",
    "encode_pairs",
    "encode_request",
    "encode_resource",
    "encode_scope",
    "encode_span",
    "encode_value",
    "event_field",
    "go_on",
    "join_request",
    "link_field",
    "span_message",
    "text",
    "varint",
    "wire_fields",
)

Group = tuple[bytes, str, bytes, str, Sequence[bytes]]
"""Resource bytes, its schema URL, scope bytes, its schema URL, spans: all as the encoders here return them."""

SPAN_ATTRIBUTES, EVENT_ATTRIBUTES, LINK_ATTRIBUTES = b"\x4a", b"\x1a", b"\x22"

_DEPTH = 32  # a protobuf reader follows about 100 messages down; a level of ours takes two or three
_NODES = 100_000  # a list that holds itself twice would otherwise be 2 ** _DEPTH values
_PIECE = 96  # parts, of which each span has three; 32 spans are joined in some 20 us
_TRUNCATED = "[truncated]"

_SMALL = tuple(bytes((number,)) for number in range(128))
_TEXTS = tuple(bytes((number + 2, 0x0A, number)) for number in range(126))
"""By a text's length: the length of its ``AnyValue``, and the tag and length of the text in that."""
_sizes: dict[bytes, tuple[bytes, ...]] = {}
"""By the tag of a field of ``KeyValue`` and its length: both as bytes."""
_starts: dict[str, bytes] = {}
_double = struct.Struct("<d").pack
_fixed64 = struct.Struct("<Q").pack
_times = struct.Struct("<BQBQ").pack
_MASK64 = (1 << 64) - 1
_MOST_KEYS, _LONGEST_KEY = 4096, 128  # in the memory of keys; a key's length there in bytes

_FLAGS_LOCAL = b"\x00\x01\x00\x00"  # SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE
_FLAGS_REMOTE = b"\x00\x03\x00\x00"  # the same, and IS_REMOTE


# ---- primitives -------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first."""
    if number < 128:
        return _SMALL[number]
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    if number < 1 << 28:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128, number >> 21))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _sized(tag: bytes, body: bytes) -> bytes:
    size = len(body)
    return tag + (_SMALL[size] if size < 128 else varint(size)) + body


def text(value: str) -> bytes:
    r"""Return UTF-8 for any str: a lone surrogate, which UTF-8 cannot say, as ``\udc80``."""
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        return str.encode(value, "utf-8", "backslashreplace")
    except TypeError:  # not a str at all, whatever its annotation said
        return text(text_of(value))


def _text_field(tag: bytes, value: str) -> bytes:
    return _sized(tag, text(value)) if value else b""


def _count_field(tag: bytes, count: int) -> bytes:
    return tag + varint(min(count, 0xFFFFFFFF)) if count > 0 else b""


def _time_field(tag: bytes, time_ns: int) -> bytes:
    if not time_ns:
        return b""
    try:
        return tag + _fixed64(time_ns)
    except struct.error:  # negative, too large, or a float from somebody's arithmetic
        try:
            return tag + _fixed64(min(max(int(time_ns), 0), _MASK64))
        except (TypeError, ValueError, OverflowError):
            return b""


# ---- values -----------------------------------------------------------------------------


def encode_value(value: object) -> bytes:
    """Encode an ``AnyValue``; any value at all, see the module's docstring."""
    return _nested(value, 0, [_NODES])


def _integer(value: int) -> bytes:
    if -(1 << 63) <= value < 1 << 63:
        return b"\x18" + varint(value & _MASK64)
    return _sized(b"\x0a", text(text_of(value)))


def _nested(value: object, depth: int, room: list[int]) -> bytes:  # noqa: PLR0911 - a table of types
    room[0] -= 1
    kind = type(value)  # not isinstance: a lazy proxy's __class__ may raise
    if value is None:
        return b""
    if issubclass(kind, str):
        return _sized(b"\x0a", text(value))  # type: ignore[arg-type]
    if issubclass(kind, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if issubclass(kind, int):
        return _integer(int.__index__(value))  # type: ignore[arg-type]
    if issubclass(kind, float):
        return b"\x21" + _double(value)
    if issubclass(kind, bytes):
        return _sized(b"\x3a", b"".join((value,)))  # type: ignore[arg-type]
    if issubclass(kind, Sequence | Mapping):
        if depth >= _DEPTH or room[0] <= 0:
            return _sized(b"\x0a", _TRUNCATED.encode())
        return _container(value, depth + 1, room)
    return _sized(b"\x0a", text(text_of(value)))


def _elements(values: Iterable[object], limit: int) -> list[object]:
    unread: list[object] = [f"<{type(values).__name__}: cannot be read>"]
    return guarded(unread, lambda: list(islice(values, limit)))


def _pairs(values: Mapping[object, object], limit: int) -> list[tuple[object, object]]:
    none: list[tuple[object, object]] = []
    return guarded(none, lambda: [(key, value) for key, value in islice(values.items(), limit)])


def _container(value: object, depth: int, room: list[int]) -> bytes:
    if issubclass(type(value), Sequence):
        values = _elements(value, room[0])  # type: ignore[arg-type]
        body = b"".join([_sized(b"\x0a", _nested(each, depth, room)) for each in values])
        return _sized(b"\x2a", body)
    items = _pairs(value, room[0])  # type: ignore[arg-type]
    parts = []
    for key, each in items:
        name = key if type(key) is str else text_of(key)
        pair = _sized(b"\x0a", text(name)) if name else b""
        parts.append(_sized(b"\x0a", pair + _sized(b"\x12", _nested(each, depth, room))))
    return _sized(b"\x32", b"".join(parts))


def _start_of(key: str) -> bytes:
    """Return a ``KeyValue`` up to its value's length, and keep it: nearly all attributes have one of a few keys."""
    name = text(key)
    made = _sized(b"\x0a", name) + b"\x12" if name else b"\x12"
    if type(key) is str and len(name) <= _LONGEST_KEY:
        if len(_starts) >= _MOST_KEYS:
            _starts.clear()
        _starts[key] = made
    return made


def _measured(value: object) -> bytes:
    """Return what ``encode_value`` does, with its length before it."""
    kind = type(value)
    if kind is int and 0 <= value < 1 << 49:  # type: ignore[operator]
        body = varint(value)  # type: ignore[arg-type]
        return b"%c\x18%b" % (len(body) + 1, body)
    if kind is float:
        return b"\x09\x21" + _double(value)
    if kind is bool:
        return b"\x02\x10\x01" if value else b"\x02\x10\x00"
    body = encode_value(value)
    return varint(len(body)) + body


def encode_pair(key: str, value: object) -> bytes:
    """Encode a ``KeyValue`` with its length before it, so that only the field's tag is missing."""
    return encode_pairs(b"", ((key, value),))


def encode_pairs(tag: bytes, items: Iterable[tuple[str, object]]) -> bytes:
    """Encode pairs of key and value as the repeated field that ``tag`` names."""
    sizes, starts = _sizes.get(tag) or _sizes.setdefault(tag, tuple(tag + size for size in _SMALL)), _starts
    out: list[bytes] = []
    for key, value in items:
        start = starts.get(key) if type(key) is str else None
        if start is None:
            start = _start_of(key)
        kind = type(value)
        if kind is str:
            try:
                body = value.encode()  # type: ignore[attr-defined]
            except UnicodeEncodeError:
                body = text(value)  # type: ignore[arg-type]
            size = len(body)
            room = len(start) + size + 3
            if room < 128:  # nearly always: then each length is one byte, and found in a table
                out += (sizes[room], start, _TEXTS[size], body)
                continue
        body = _measured(value)
        room = len(start) + len(body)
        out += (sizes[room], start, body) if room < 128 else (tag, varint(room), start, body)
    return b"".join(out)


def encode_attributes(tag: bytes, attributes: Mapping[str, object]) -> bytes:
    """Encode attributes as the repeated field that ``tag`` names."""
    if type(attributes) is dict:
        return encode_pairs(tag, list(attributes.items()))  # a copy: another thread may still be adding some
    return encode_pairs(tag, _pairs(attributes, _NODES))  # type: ignore[arg-type]


# ---- spans ------------------------------------------------------------------------------


def event_field(time_ns: int, name: str, attributes: bytes, dropped: int) -> bytes:
    """Encode a span's event, tag included; ``attributes`` are encoded already."""
    said = text(name)
    size = len(said)
    room = size + len(attributes) + 11
    if size > 0 and room < 128 and not dropped and time_ns:  # nearly always: then each length is one byte
        try:
            return b"\x5a%c\x09%b\x12%c%b%b" % (room, _fixed64(time_ns), size, said, attributes)
        except struct.error:
            pass
    body = _time_field(b"\x09", time_ns) + _text_field(b"\x12", name) + attributes + _count_field(b"\x20", dropped)
    return _sized(b"\x5a", body)


def link_field(
    trace_id: bytes, span_id: bytes, attributes: bytes, dropped: int, *, remote: bool, trace_state: str = ""
) -> bytes:
    """Encode a span's link, tag included; ``attributes`` are encoded already."""
    flags = _FLAGS_REMOTE if remote else _FLAGS_LOCAL
    body = b"".join(
        (
            _sized(b"\x0a", trace_id) if trace_id else b"",
            _sized(b"\x12", span_id) if span_id else b"",
            _text_field(b"\x1a", trace_state),
            attributes,
            _count_field(b"\x28", dropped),
            b"\x35" + flags,
        )
    )
    return _sized(b"\x6a", body)


def span_message(
    trace_id: bytes,
    span_id: bytes,
    trace_state: str,
    parent_span_id: bytes,
    name: str,
    kind: int,
    start_ns: int,
    end_ns: int,
    attributes: bytes,
    events: bytes,
    links: bytes,
    dropped: tuple[int, int, int],
    status: tuple[int, str] | None,
    parent_is_remote: bool,
) -> bytes:
    """Encode a ``Span`` whose attributes, events and links are encoded already.

    The one place that knows a span's layout. ``dropped`` counts attributes, events and links;
    ``status`` is a code and a message, present even when both say nothing, as stock has it.
    """
    said_status = b"" if status is None else _status_field(*status)
    flags = _FLAGS_REMOTE if parent_is_remote else _FLAGS_LOCAL
    said = text(name)
    if (
        len(trace_id) == 16
        and len(span_id) == 8
        and not trace_state
        and 0 < len(said) < 128
        and 0 < kind < 128
        and start_ns
        and end_ns
        and dropped == (0, 0, 0)
    ):  # nearly always: then one formatting writes it all
        above = b"\x22\x08" + parent_span_id if len(parent_span_id) == 8 else _optional(b"\x22", parent_span_id)
        try:
            times = _times(0x39, start_ns, 0x41, end_ns)
        except struct.error:
            pass
        else:
            return b"\x0a\x10%b\x12\x08%b%b\x2a%c%b\x30%c%b%b%b%b%b\x85\x01%b" % (
                trace_id, span_id, above, len(said), said, kind, times, attributes, events, links, said_status, flags,
            )  # fmt: skip
    out = [
        _optional(b"\x0a", trace_id),
        _optional(b"\x12", span_id),
        _text_field(b"\x1a", trace_state),
        _optional(b"\x22", parent_span_id),
        _text_field(b"\x2a", name),
        b"\x30" + varint(kind & _MASK64) if kind else b"",
        _time_field(b"\x39", start_ns),
        _time_field(b"\x41", end_ns),
        attributes,
    ]
    if dropped == (0, 0, 0):
        out += (events, links)
    else:
        counts = (
            _count_field(b"\x50", dropped[0]),
            _count_field(b"\x60", dropped[1]),
            _count_field(b"\x70", dropped[2]),
        )
        out += (counts[0], events, counts[1], links, counts[2])
    return b"".join((*out, said_status, b"\x85\x01", flags))


def _status_field(code: int, message: str) -> bytes:
    if not code and not message:
        return b"\x7a\x00"
    return _sized(b"\x7a", _text_field(b"\x12", message) + (b"\x18" + varint(code & _MASK64) if code else b""))


def _optional(tag: bytes, body: bytes) -> bytes:
    return _sized(tag, body) if body else b""


def _event(event: SpanEvent) -> bytes:
    attributes = encode_attributes(EVENT_ATTRIBUTES, event.attributes)
    return event_field(event.time_ns, event.name, attributes, event.dropped_attributes)


def _link(link: SpanLink) -> bytes:
    attributes = encode_attributes(LINK_ATTRIBUTES, link.attributes)
    return link_field(
        link.trace_id,
        link.span_id,
        attributes,
        link.dropped_attributes,
        remote=link.remote,
        trace_state=link.trace_state,
    )


def encode_span(span: SpanData) -> bytes:
    """Encode one span as a ``Span`` message, without the tag and length that ``encode_request`` adds.

    A link's trace state is encoded if it has one; the SDK's exporter leaves it out.
    """
    return span_message(
        span.trace_id,
        span.span_id,
        span.trace_state,
        span.parent_span_id,
        span.name,
        span.kind,
        span.start_ns,
        span.end_ns,
        encode_attributes(SPAN_ATTRIBUTES, span.attributes),
        b"".join([_event(event) for event in span.events]),
        b"".join([_link(link) for link in span.links]),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        (span.status_code, span.status_message),
        span.parent_is_remote,
    )


# ---- requests ---------------------------------------------------------------------------


def go_on() -> None:
    """Take no breath: nobody is kept waiting."""


def encode_resource(attributes: Mapping[str, object]) -> bytes:
    """Encode a ``Resource`` message; its schema URL stands beside it, in the group."""
    return encode_attributes(b"\x0a", attributes)


def encode_scope(name: str = "", version: str = "", attributes: Mapping[str, object] | None = None) -> bytes:
    """Encode an ``InstrumentationScope`` message."""
    return _text_field(b"\x0a", name) + _text_field(b"\x12", version) + encode_attributes(b"\x1a", attributes or {})


def encode_request(groups: Iterable[Group], breathe: Callable[[], object] = go_on) -> bytes:
    """Join encoded spans into an ``ExportTraceServiceRequest``.

    Groups of equal resource bytes become one, and within it those of equal scope bytes, in the
    order in which they first appear. Joining costs little, so spans wait as bytes; ``breathe`` is
    called every few dozen of them.
    """
    resources: dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]] = {}
    for resource, resource_url, scope, scope_url, spans in groups:
        scopes = resources.setdefault((resource, resource_url), {})
        scopes.setdefault((scope, scope_url), []).extend(spans)
    return join_request(
        ((*key, [(*scope, spans) for scope, spans in scopes.items()]) for key, scopes in resources.items()), breathe
    )


def join_request(
    resources: Iterable[tuple[bytes, str, Iterable[tuple[bytes, str, Iterable[bytes]]]]],
    breathe: Callable[[], object] = go_on,
) -> bytes:
    """Write a request from what is grouped already: resources, in each its scopes, in each its spans.

    No other thread of the program runs while Python works here, and a request is large: so it is put
    together from pieces, and ``breathe`` is called between them.
    """
    out: list[bytes] = []
    for resource, resource_url, scopes in resources:
        body = [_sized(b"\x0a", resource)]
        for scope, scope_url, spans in scopes:
            parts = [_sized(b"\x0a", scope)]
            parts += _pieces(spans, breathe)
            parts.append(_text_field(b"\x1a", scope_url))
            body += (b"\x12", varint(sum(map(len, parts))), *parts)
        body.append(_text_field(b"\x1a", resource_url))
        out += (b"\x0a", varint(sum(map(len, body))), *body)
    return b"".join(out)


def _pieces(spans: Iterable[bytes], breathe: Callable[[], object]) -> Iterator[bytes]:
    """Yield spans as fields of their scope, some at a time."""
    parts: list[bytes] = []
    for span in spans:
        parts += (b"\x12", varint(len(span)), span)
        if len(parts) >= _PIECE:
            yield b"".join(parts)
            parts.clear()
            breathe()
    yield b"".join(parts)


# ---- reading ----------------------------------------------------------------------------


def wire_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Walk one protobuf message: (field number, its varint or its bytes) in the order of the wire.

    Raises ValueError where the bytes are not a protobuf message.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _read_varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} is not in use")
        if size > end - at:
            raise ValueError("a field is longer than its message")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & _MASK64, at
    raise ValueError("a number has no end")
