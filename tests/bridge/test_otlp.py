"""The bytes we write are the bytes protobuf and the stock exporter write, and nothing makes them raise."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections import UserDict, UserList
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status as StatusMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as SdkScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_workflow.bridge.encoder import OtlpSpanEncoder
from otel_workflow.bridge.otlp import (
    encode_request,
    encode_resource,
    encode_scope,
    encode_span,
    encode_value,
    wire_fields,
)
from otel_workflow.bridge.span_data import SpanData, SpanEvent, SpanLink

_settings = settings(deadline=None, max_examples=150, database=None)

# ---- any data ---------------------------------------------------------------------------

_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=150)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, -1, 127, 128, 16383, 16384, 2**62, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan]),
    st.floats(),
    _text,
    st.binary(max_size=200),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(_text, inner, max_size=4)
    ),
    max_leaves=12,
)
_attributes = st.dictionaries(_text, _values, max_size=6)
_times = st.integers(0, 2**64 - 1)
_counts = st.integers(0, 2**32 - 1)
_ids = {16: st.binary(min_size=16, max_size=16), 8: st.binary(min_size=8, max_size=8)}

_events = st.builds(SpanEvent, time_ns=_times, name=_text, attributes=_attributes, dropped_attributes=_counts)
_links = st.builds(
    SpanLink,
    trace_id=_ids[16],
    span_id=_ids[8],
    attributes=_attributes,
    trace_state=_text,
    remote=st.booleans(),
    dropped_attributes=_counts,
)
_spans = st.builds(
    SpanData,
    trace_id=_ids[16],
    span_id=_ids[8],
    parent_span_id=st.just(b"") | _ids[8],
    name=_text,
    kind=st.integers(0, 5),
    start_ns=_times,
    end_ns=_times,
    attributes=_attributes,
    events=st.lists(_events, max_size=3).map(tuple),
    links=st.lists(_links, max_size=3).map(tuple),
    status_code=st.integers(0, 2),
    status_message=_text,
    trace_state=_text,
    parent_is_remote=st.booleans(),
    dropped_attributes=_counts,
    dropped_events=_counts,
    dropped_links=_counts,
)

# ---- the same data as protobuf messages -------------------------------------------------


def _any_value(value: Any) -> AnyValue:  # noqa: PLR0911 - a table of types
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    return AnyValue(array_value=ArrayValue(values=[_any_value(each) for each in value]))


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _flags(remote: bool) -> int:
    return 0x300 if remote else 0x100


def _message(span: SpanData) -> SpanMessage:
    return SpanMessage(
        trace_id=span.trace_id,
        span_id=span.span_id,
        trace_state=span.trace_state,
        parent_span_id=span.parent_span_id,
        flags=_flags(span.parent_is_remote),
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_pairs(span.attributes),
        dropped_attributes_count=span.dropped_attributes,
        events=[
            SpanMessage.Event(
                time_unix_nano=event.time_ns,
                name=event.name,
                attributes=_pairs(event.attributes),
                dropped_attributes_count=event.dropped_attributes,
            )
            for event in span.events
        ],
        dropped_events_count=span.dropped_events,
        links=[
            SpanMessage.Link(
                trace_id=link.trace_id,
                span_id=link.span_id,
                trace_state=link.trace_state,
                attributes=_pairs(link.attributes),
                dropped_attributes_count=link.dropped_attributes,
                flags=_flags(link.remote),
            )
            for link in span.links
        ],
        dropped_links_count=span.dropped_links,
        status=StatusMessage(code=span.status_code, message=span.status_message),
    )


def _decoded(value: object) -> Any:
    message = AnyValue.FromString(encode_value(value))
    kind = message.WhichOneof("value")
    return kind and getattr(message, kind)


def _span(**changes: Any) -> SpanData:
    fixed: dict[str, Any] = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "lint", "start_ns": 1, "end_ns": 2}
    return SpanData(**{**fixed, **changes})


# ---- SpanData ---------------------------------------------------------------------------


@_settings
@given(_spans)
def test_a_span_is_what_protobuf_writes(span: SpanData) -> None:
    assert encode_span(span) == _message(span).SerializeToString()


@_settings
@given(_attributes, _text, _text, st.lists(st.lists(_spans, max_size=2), max_size=3))
def test_a_request_is_what_protobuf_writes(
    attributes: dict[str, Any], name: str, url: str, batches: list[list[SpanData]]
) -> None:
    # Every second batch under another scope; all under one resource, which must come once.
    scopes = [(name, "1.0"), (name, "2.0")]
    groups = [
        (
            encode_resource(attributes),
            url,
            encode_scope(*scopes[i % 2], attributes),
            url,
            [encode_span(s) for s in spans],
        )
        for i, spans in enumerate(batches)
    ]
    expected = ResourceSpans(resource=ResourceMessage(attributes=_pairs(attributes)), schema_url=url)
    for i, (scope, version) in enumerate(scopes[: len(batches)]):
        spans = [_message(span) for batch in batches[i::2] for span in batch]
        message = InstrumentationScope(name=scope, version=version, attributes=_pairs(attributes))
        expected.scope_spans.append(ScopeSpans(scope=message, spans=spans, schema_url=url))
    request = ExportTraceServiceRequest(resource_spans=[expected] if batches else [])
    assert encode_request(groups) == request.SerializeToString()


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"\x01\x02"),
        range(3),
        UserList(["a", 1]),
        UserDict({"a": 1}),
        MappingProxyType({"a": [1, {"b": None}]}),
        {1: "a", None: "b"},
        type("Text", (str,), {})("text"),
        type("Number", (int,), {})(-7),
        type("Real", (float,), {})(0.5),
        type("Raw", (bytes,), {})(b"raw"),
        StatusCode.ERROR.value,
    ],
    ids=repr,
)
def test_what_only_behaves_like_a_known_type_is_written_as_that_type(value: Any) -> None:
    plain = {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value
    assert encode_value(value) == _any_value(plain).SerializeToString()


@_settings
@given(st.text(st.characters(categories=("Cs", "Lu")), min_size=1))
def test_lone_surrogates_are_written_as_their_escapes(text: str) -> None:
    span = _span(
        name=text,
        trace_state=text,
        status_message=text,
        attributes={text: text, "list": [text, {text: text}]},
        events=(SpanEvent(1, text, {text: text}),),
        links=(SpanLink(b"t" * 16, b"s" * 8, {text: text}, text),),
    )
    escaped = text.encode("utf-8", "backslashreplace").decode()
    message = SpanMessage.FromString(encode_span(span))
    assert (message.name, message.trace_state, message.status.message) == (escaped,) * 3
    assert (message.attributes[0].key, message.attributes[0].value.string_value) == (escaped, escaped)
    assert message.attributes[1].value.array_value.values[1].kvlist_value.values[0].key == escaped
    assert (message.events[0].name, message.links[0].trace_state) == (escaped, escaped)
    assert ResourceMessage.FromString(encode_resource({text: text})).attributes[0].key == escaped
    assert InstrumentationScope.FromString(encode_scope(text, text)).version == escaped


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_an_integer_beyond_64_bits_is_written_as_text(number: int) -> None:
    assert _decoded(number) == str(number)


def test_an_integer_that_cannot_even_be_shown_is_named() -> None:
    assert _decoded(10**5000) == "<int: str() raised ValueError>"


def test_a_nan_keeps_its_bits() -> None:
    assert encode_value(math.nan) == b"\x21" + struct.pack("<d", math.nan)


def test_an_unknown_type_is_written_as_its_str() -> None:
    assert _decoded(ValueError("boom")) == "boom"


class _Hostile:
    def _never(self, *_: object) -> Any:
        raise RuntimeError("no")

    __str__ = __repr__ = __iter__ = __len__ = __getitem__ = __eq__ = __bool__ = items = keys = _never
    __hash__ = None  # type: ignore[assignment]
    __class__ = property(_never)  # type: ignore[assignment]


class _HostileMapping(_Hostile, Mapping[str, Any]):
    pass


class _HostileList(_Hostile, UserList[Any]):
    def __init__(self) -> None:
        pass


def _recursive() -> list[Any]:
    bomb: list[Any] = []
    bomb.extend([bomb, bomb])
    return bomb


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "make", [_Hostile, _HostileMapping, _HostileList, _recursive, _deep], ids=lambda make: make.__name__
)
def test_a_hostile_value_never_raises_and_leaves_a_readable_span(make: Any) -> None:
    span = _span(attributes={"hostile": make(), "list": [make()], "after": 1})
    message = SpanMessage.FromString(encode_span(span))
    assert [pair.key for pair in message.attributes] == ["hostile", "list", "after"]


def test_hostile_attributes_as_a_whole_are_left_out() -> None:
    assert encode_span(_span(attributes=_HostileMapping())) == encode_span(_span(status_code=0))


@pytest.mark.parametrize(
    ("given_ns", "written"), [(-5, 0), (2**70, 2**64 - 1), (12.7, 12), (math.nan, 0), (math.inf, 0), ("soon", 0)]
)
def test_an_impossible_time_becomes_the_nearest_possible_one(given_ns: Any, written: int) -> None:
    message = SpanMessage.FromString(encode_span(_span(start_ns=given_ns)))
    assert message.start_time_unix_nano == written


def test_groups_of_equal_resource_and_scope_are_joined_in_order_of_appearance() -> None:
    first, second = encode_resource({"service.name": "a"}), encode_resource({"service.name": "b"})
    scope = encode_scope("ow")
    spans = [encode_span(_span(name=str(i))) for i in range(4)]
    body = encode_request(
        [
            (first, "", scope, "", spans[:1]),
            (second, "", scope, "", spans[1:2]),
            (first, "", scope, "", spans[2:3]),
            (first, "", scope, "url", spans[3:]),
        ]
    )
    request = ExportTraceServiceRequest.FromString(body)
    names = [[[s.name for s in scoped.spans] for scoped in r.scope_spans] for r in request.resource_spans]
    assert names == [[["0", "2"], ["3"]], [["1"]]]


def test_the_walk_over_a_message_finds_what_was_written() -> None:
    fields = dict(wire_fields(encode_span(_span(attributes={"a": 1}, kind=2))))
    assert (fields[1], fields[2], fields[5], fields[6]) == (b"t" * 16, b"s" * 8, b"lint", 2)


@_settings
@given(st.binary(max_size=60))
def test_the_walk_over_garbage_raises_valueerror_at_most(garbage: bytes) -> None:
    try:
        list(wire_fields(garbage))
    except ValueError:
        return


@pytest.mark.parametrize("module", ["otlp", "span_data", "http", "destination", "answer"])
def test_importing_loads_neither_sdk_nor_protobuf_nor_http_client(module: str) -> None:
    code = (
        f"import sys, otel_workflow.bridge.{module};"
        "heavy = ('opentelemetry', 'google', 'requests', 'ssl', 'http.client');"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- ReadableSpan -----------------------------------------------------------------------

_sdk_attributes = st.dictionaries(_text.filter(bool), _values, max_size=6)
_contexts = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    trace_state=st.sampled_from([None, TraceState(), TraceState([("a", "b"), ("c", "d=e")])]),
)
_resources = [
    Resource({"service.name": "ow", "list": ["a", "b"], "ci": True}),
    Resource({"service.name": "ow", "list": ["a", "b"], "ci": True}),
    Resource({"ci": True, "list": ["a", "b"], "service.name": "ow"}),
    Resource({"service.name": "ow"}, "https://example.org/schema"),
    Resource({}),
]
_scopes = [
    None,
    SdkScope("ow"),
    SdkScope("ow"),
    SdkScope("ow", "1.0", "https://example.org/schema", {"a": 1}),
    SdkScope("", ""),
]
_readable = st.builds(
    ReadableSpan,
    name=_text,
    context=_contexts,
    parent=st.none() | _contexts,
    resource=st.sampled_from(_resources),
    attributes=st.none() | _sdk_attributes,
    events=st.lists(st.builds(Event, name=_text, attributes=st.none() | _sdk_attributes, timestamp=_times), max_size=3),
    links=st.lists(st.builds(Link, context=_contexts, attributes=st.none() | _sdk_attributes), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=st.sampled_from([Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, "failed: ü"), None]),
    start_time=st.none() | _times,
    end_time=st.none() | _times,
    instrumentation_scope=st.sampled_from(_scopes),
)


@_settings
@given(st.lists(_readable, max_size=5))
def test_readable_spans_are_what_the_stock_exporter_writes(spans: list[ReadableSpan]) -> None:
    stock = encode_spans(spans).SerializeToString()
    encoder = OtlpSpanEncoder()
    assert encoder.encode(spans) == stock
    assert encoder.encode(iter(spans)) == stock  # now with keys that are known


@pytest.fixture
def finished() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(finished: InMemorySpanExporter) -> TracerProvider:
    limits = SpanLimits(max_span_attributes=14, max_events=3, max_links=2, max_attribute_length=400)
    provider = TracerProvider(resource=_resources[0], span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    return provider


def _same_as_stock(finished: InMemorySpanExporter) -> None:
    spans = finished.get_finished_spans()
    assert spans
    assert OtlpSpanEncoder().encode(spans) == encode_spans(spans).SerializeToString()


def test_an_awkward_sdk_span_is_what_the_stock_exporter_writes(
    provider: TracerProvider, finished: InMemorySpanExporter
) -> None:
    remote = SpanContext(2**127 + 5, 2**63 + 1, True, TraceFlags(1), TraceState([("a", "b"), ("c", "d")]))
    tracer = provider.get_tracer("bench", "1.2", schema_url="https://example.org/schema", attributes={"scope": 1})
    span = tracer.start_span(
        "höhe",
        set_span_in_context(NonRecordingSpan(remote)),
        kind=SpanKind.CONSUMER,
        attributes={
            "neg": -1,
            "big": 2**62,
            "f": 1.0,
            "i": 1,
            "b": True,
            "s": "ß" * 300,
            "l": ["a", "b"],
            "e": "",
            "li": [1, -2],
            "z": 0,
            "fl": False,
            "lb": [True, False],
            "d0": 0.0,
            "d-0": -0.0,
            "one more": 1,
        },
        links=[Link(remote, {"x": 1}), Link(remote), Link(remote)],
    )
    for number in range(3):
        span.add_event(f"event {number}", {"number": number, "seconds": number / 7})
    span.record_exception(ValueError("boom"))
    span.set_status(Status(StatusCode.ERROR, "failed: ü"))
    span.end()
    empty = tracer.start_span("")
    empty.set_status(StatusCode.OK)
    empty.end()
    provider.get_tracer("").start_span("no scope name").end()
    (awkward, *_) = finished.get_finished_spans()
    assert (awkward.dropped_attributes, awkward.dropped_events, awkward.dropped_links) == (1, 1, 1)
    _same_as_stock(finished)


@pytest.mark.parametrize("values", [(True, 1, 1.0), (1.0, True, 1), (0, -0.0, 0.0, False), ("1", 1, b"1")])
def test_the_cache_does_not_confuse_equal_values_of_different_types(
    provider: TracerProvider, finished: InMemorySpanExporter, values: tuple[Any, ...]
) -> None:
    for value in values * 2:
        span = provider.get_tracer("t").start_span("s", attributes={"key": value, "nested": [value]})
        span.add_event("e", {"key": value})
        span.end()
    encoder, spans = OtlpSpanEncoder(masking=True), finished.get_finished_spans()
    for span in spans:
        assert encoder.encode([span]) == encode_spans([span]).SerializeToString()


def test_the_cache_is_bounded(provider: TracerProvider, finished: InMemorySpanExporter) -> None:
    encoder = OtlpSpanEncoder(cache_size=10, masking=True)
    for number in range(50):
        provider.get_tracer("t").start_span("s", attributes={"run.id": number, "long": "x" * 399}).end()
        encoder.encode(finished.get_finished_spans())
        assert 0 < len(encoder._cache) <= 10
    assert all(len(pair) <= 256 for pair in encoder._cache.values())


def test_sdk_spans_that_stop_the_stock_exporter_do_not_stop_ours(
    provider: TracerProvider, finished: InMemorySpanExporter
) -> None:
    good = provider.get_tracer("t").start_span("good")
    good.end()
    bad = provider.get_tracer("t").start_span("bad \udc80", attributes={"a": "\udc80", "b": 2**64, "c": object()})
    bad.end(end_time=1.5)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        encode_spans(finished.get_finished_spans())
    request = ExportTraceServiceRequest.FromString(OtlpSpanEncoder().encode(finished.get_finished_spans()))
    assert [span.name for span in request.resource_spans[0].scope_spans[0].spans] == ["good", "bad \\udc80"]


def test_a_span_of_only_the_sdk_shape_is_encoded_too(provider: TracerProvider, finished: InMemorySpanExporter) -> None:
    provider.get_tracer("t").start_span("s", attributes={"a": 1}).end()
    (span,) = finished.get_finished_spans()
    names = ("name", "kind", "parent", "status", "attributes", "events", "links", "start_time", "end_time",
             "dropped_attributes", "dropped_events", "dropped_links", "get_span_context")  # fmt: skip
    light = type("Light", (), {name: getattr(span, name) for name in names})()
    assert OtlpSpanEncoder().encode_span(light) == OtlpSpanEncoder().encode_span(span)


def test_a_span_without_a_context_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lint"):
        OtlpSpanEncoder().encode_span(ReadableSpan("lint"))


def test_with_masking_numbers_that_json_does_not_know_are_text_and_so_is_the_rest_of_their_list() -> None:
    span = ReadableSpan(
        "s",
        context=SpanContext(1, 2, is_remote=False),
        attributes={"nan": math.nan, "list": (math.inf, 1.5), "fine": (0.5, 1.5), "one": 1.5},
        start_time=1,
        end_time=2,
    )
    request = ExportTraceServiceRequest.FromString(OtlpSpanEncoder(masking=True).encode([span]))
    [made] = request.resource_spans[0].scope_spans[0].spans
    said = {pair.key: pair.value for pair in made.attributes}
    assert ("nan", 1.5) == (said["nan"].string_value, said["one"].double_value)
    assert ["inf", "1.5"] == [item.string_value for item in said["list"].array_value.values]
    assert [0.5, 1.5] == [item.double_value for item in said["fine"].array_value.values]
