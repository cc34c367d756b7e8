"""Spans that are odd: valid ones that no backend may refuse, and broken ones that it may."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_workflow.bridge.otlp import encode_resource, encode_scope, varint
from otel_workflow.journal import SPAN, JournalWriter
from otel_workflow.journal.record import encode_span

__all__ = ("BROKEN", "ODD", "Poison", "written")

START = 1_700_000_000_000_000_000
Poison = Mapping[str, bytes]
TRACE, SELF = b"\x11" * 16, b"\x22" * 8
"""Ids that are exchanged for a test's own; nothing else in a span has these bytes."""


def _span(**said: object) -> bytes:
    given = {"trace_id": TRACE, "span_id": SELF, "name": "odd", "kind": 1}
    times = {"start_time_unix_nano": START, "end_time_unix_nano": START + 1}
    return Span(**{**given, **times, **said}).SerializeToString()  # type: ignore[arg-type]


def _text(text: str) -> AnyValue:
    return AnyValue(string_value=text)


def _with(**values: AnyValue) -> bytes:
    return _span(attributes=[KeyValue(key=key, value=value) for key, value in values.items()])


def _nested(depth: int) -> bytes:
    """An attribute of a span: a list in a list in a list. Made by hand, since protobuf refuses beyond 100."""
    value = _text("the innermost").SerializeToString()
    for _ in range(depth):
        item = b"\x0a" + varint(len(value)) + value
        value = b"\x2a" + varint(len(item)) + item
    pair = b"\x0a\x04deep\x12" + varint(len(value)) + value
    return b"\x4a" + varint(len(pair)) + pair


def _map(**values: AnyValue) -> AnyValue:
    return AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key=k, value=v) for k, v in values.items()]))


ODD: Poison = {
    "no name": _span(name=""),
    "a name of 100 KiB": _span(name="n" * 100_000),
    "control characters in the name": _span(name="\x00\x1b[2J\r\n\t\x7f"),
    "a name in many scripts": _span(name="naïve 日本語 🚀 \u202egnp.exe e\u0301 \ufffe\U0010ffff"),
    "a name that is markup": _span(name="<script>alert(1)</script> {{7*7}} ' OR 1=1 -- ${jndi:ldap://x}"),
    "no time at all": _span(start_time_unix_nano=0, end_time_unix_nano=0),
    "an end before its start": _span(end_time_unix_nano=START - 10**9),
    "a duration of zero": _span(end_time_unix_nano=START),
    "an end in the year 2262": _span(end_time_unix_nano=2**63 - 1),
    "a kind that nobody knows": _span() + b"\x30\x63",
    "a status that nobody knows": _span() + b"\x7a\x02\x18\x4d",
    "a status message of 100 KiB": _span(status=Status(code=2, message="m" * 100_000)),
    "its own parent": _span(parent_span_id=SELF),
    "a parent that never was": _span(parent_span_id=b"\x99" * 8),
    "an attribute without a value": _span(attributes=[KeyValue(key="nothing")]),
    "an attribute without a name": _span(attributes=[KeyValue(key="", value=_text("v"))]),
    "the same attribute three times": _span(attributes=[KeyValue(key="k", value=_text(v)) for v in "abc"]),
    "bytes in an attribute": _with(raw=AnyValue(bytes_value=bytes(range(256)))),
    "an empty list": _with(none=AnyValue(array_value=ArrayValue())),
    "a mixed list": _with(
        mixed=AnyValue(array_value=ArrayValue(values=[_text("1"), AnyValue(int_value=2), AnyValue()]))
    ),
    "a map in a list in a map": _with(deep=_map(a=AnyValue(array_value=ArrayValue(values=[_map(b=_text("c"))])))),
    "a list nested 20 deep": _span() + _nested(20),
    "the smallest and largest integers": _with(low=AnyValue(int_value=-(2**63)), high=AnyValue(int_value=2**63 - 1)),
    "numbers near nothing": _with(zero=AnyValue(double_value=-0.0), tiny=AnyValue(double_value=5e-324)),
    "5,000 attributes": _with(**{f"k{number}": AnyValue(int_value=number) for number in range(5000)}),
    "an attribute of 900 KiB": _with(log=_text("x" * 900_000)),
    "2,000 events": _span(events=[Span.Event(name=f"e{number}", time_unix_nano=START) for number in range(2000)]),
    "an event of nothing": _span(events=[Span.Event()]),
    "an event long before the span": _span(events=[Span.Event(name="e", time_unix_nano=1)]),
    "a link into its own trace": _span(links=[Span.Link(trace_id=TRACE, span_id=b"\x88" * 8)]),
    "a trace state of nonsense": _span(trace_state="=,=,,\x01" + "a" * 5000),
    "flags of all bits": _span(flags=2**32 - 1),
    "most that can be dropped": _span(dropped_attributes_count=2**32 - 1, dropped_events_count=2**32 - 1),
    "fields of a later version": _span() + b"\xfa\xff\x07\x03new" + b"\xf0\xff\x07\x01",
    "a name given twice": _span() + b"\x2a\x05again",
    "an empty status": _span() + b"\x7a\x00",
}

BROKEN: Poison = {
    "a name that is no UTF-8": _span(name="abcd").replace(b"abcd", b"a\xff\xfed"),
    "an attribute's name that is no UTF-8": _with(abcd=_text("v")).replace(b"abcd", b"a\xff\xfed"),
    "an end at the end of time": _span(end_time_unix_nano=2**64 - 1),
    "a list nested 150 deep": _span() + _nested(150),
    "a list nested 20,000 deep": _span() + _nested(20_000),
    "a link to nothing": _span(links=[Span.Link()]),
    "a trace id of 15 bytes": _span(trace_id=TRACE[:15]),
    "a trace id of zeros": _span(trace_id=bytes(16)),
    "no trace id": _span(trace_id=b""),
    "a span id of 7 bytes": _span(span_id=SELF[:7]),
    "a span id of zeros": _span(span_id=bytes(8)),
    "a parent's id of 3 bytes": _span(parent_span_id=b"abc"),
    "cut off in a name": _span(name="x" * 50)[:40],
    "a field that is longer than the span": _span() + b"\x2a\x7fabc",
    "an endless number": _span() + b"\x30" + b"\xff" * 11,
    "a wire type that is none": _span() + b"\x37\x01",
    "a name that is a number": _span() + b"\x28\x05",
    "field number zero": _span() + b"\x02\x01x",
}


def written(journal: Path, trace: bytes, *poisons: Poison, between: int = 2) -> dict[str, str]:
    """Write spans into a journal, with good ones between them; returns their ids (hex) with what they are."""
    names: dict[str, str] = {}

    def header() -> dict[str, object]:
        return {"version": 1, "resource": {"service.name": "poison"}, "resource_schema": "", "scope": {"name": "s"}}

    writer = JournalWriter(str(journal), header)
    scope, resource = encode_scope("poison"), encode_resource({"service.name": "poison"})
    kinds = [(name, raw) for poison in poisons for name, raw in poison.items()]
    for place, (name, raw) in enumerate(kinds):
        for good in range(between + 1):
            own = (1 + place * (between + 1) + good).to_bytes(8, "big")
            made = (raw if good == 0 else _span(name="good")).replace(SELF, own).replace(TRACE, trace)
            made = made.replace(SELF[:7], own[1:]).replace(TRACE[:15], trace[:15])
            assert writer.write(SPAN, encode_span(scope, b"", resource, made)), name
            names[own.hex()] = name if good == 0 else "good"
    writer.close()
    return names
