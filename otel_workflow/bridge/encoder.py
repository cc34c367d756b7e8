"""The SDK's finished spans as OTLP bytes: what the stock exporter sends, at a fraction of its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

from otel_workflow.bridge.otlp import (
    EVENT_ATTRIBUTES,
    LINK_ATTRIBUTES,
    SPAN_ATTRIBUTES,
    encode_attributes,
    encode_pair,
    encode_resource,
    encode_scope,
    event_field,
    join_request,
    link_field,
    span_message,
)
from otel_workflow.masking import in_force, masked, masked_value

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, Status

__all__ = ("OtlpSpanEncoder",)

_parts_of: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(
    "_context", "_parent", "_status", "_name", "_kind", "_start_time", "_end_time", "_attributes", "_events", "_links"
)
_origin_of: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter("_resource", "_instrumentation_scope")
_parts_of_event: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter("_name", "_timestamp", "_attributes")
_within: Callable[[Any], Iterable[Any]] = attrgetter("_dq")  # the SDK's own iteration takes a lock
_LONGEST_CACHED = 256  # bytes; a longer text hardly comes twice


class OtlpSpanEncoder:
    """Encodes ``ReadableSpan`` objects to the bytes the stock exporter would send.

    With ``masking`` every text is masked on the way, and a number that JSON does not know (NaN, an
    infinity) becomes text: one of them would make its whole trace unreadable in Jaeger. The bytes
    are else the same. Looking for secrets takes longer than encoding and attributes repeat from span
    to span, so masked ones are kept: at most ``cache_size``, all dropped when that is reached (run
    ids would else stay in it for ever).
    Raises for no content of a span. May be used from several threads.
    """

    __slots__ = ("_cache", "_cache_size", "_masking", "_secrets")

    def __init__(self, *, cache_size: int = 4096, masking: bool = False) -> None:
        # The value's type is in the key, since True == 1 in Python and hashes alike. Floats are
        # not kept at all: 1.0 == 1 could be told apart by type, but -0.0 == 0.0 could not.
        self._cache: dict[tuple[str, type, object], bytes] = {}
        self._cache_size = cache_size
        self._masking = masking
        self._secrets = in_force()

    def encode(self, spans: Iterable[ReadableSpan]) -> bytes:
        """Encode a whole request, as ``encode_spans(spans).SerializeToString()`` does."""
        groups: dict[Resource, dict[InstrumentationScope | None, list[bytes]]] = {}
        # Hashing a Resource dumps it as JSON, so each object is hashed once and then known by
        # its id; ``kept`` holds the spans, and by them the objects, so that no id is given again.
        known: dict[tuple[int, int], list[bytes]] = {}
        kept = list(spans)
        for span in kept:
            try:
                resource, scope = _origin_of(span.__dict__)
            except (AttributeError, KeyError):
                resource, scope = span.resource, span.instrumentation_scope
            key = (id(resource), id(scope))
            encoded = known.get(key)
            if encoded is None:
                encoded = known[key] = groups.setdefault(resource, {}).setdefault(scope, [])
            encoded.append(self.encode_span(span))
        # Not encode_request, which would join a missing scope with one without a name.
        return join_request(
            (
                encode_resource(resource.attributes),
                resource.schema_url,
                [(*_scope(scope), encoded) for scope, encoded in scopes.items()],
            )
            for resource, scopes in groups.items()
        )

    def encode_span(self, span: ReadableSpan) -> bytes:
        """Encode one span as a ``Span`` message, without the tag and length it has in a request."""
        try:  # the properties of the same names cost a call each, and some copy what is behind them
            parts = _parts_of(span.__dict__)
        except (AttributeError, KeyError):  # not the SDK's class, only one of its shape
            parts = _asked(span)
        context, parent, status, name, kind, start_ns, end_ns, attributes, events, links = parts
        if context is None:
            raise ValueError(f"the span {span.name!r} has no context, so it has no id to be sent under")
        if self._masking and self._secrets is not in_force():  # what is kept may hold what is a secret now
            self._secrets, self._cache = in_force(), {}
        try:
            dropped = attributes.dropped, events.dropped, links.dropped
            events, links = list(_within(events)), list(_within(links))
        except AttributeError:  # plain ones, or none
            dropped = span.dropped_attributes, span.dropped_events, span.dropped_links
        trace_id, span_id, _, _, trace_state, _ = context  # a tuple, each name of which costs a call
        return span_message(
            trace_id.to_bytes(16, "big"),
            span_id.to_bytes(8, "big"),
            trace_state.to_header() if trace_state else "",
            parent[1].to_bytes(8, "big") if parent else b"",
            masked(name) if self._masking else name,
            kind._value_ + 1,  # what ``value`` takes a Python call for
            start_ns or 0,
            end_ns or 0,
            self._attributes(SPAN_ATTRIBUTES, attributes),
            b"".join([self._event(event) for event in events]) if events else b"",
            b"".join([self._link(link) for link in links]) if links else b"",
            dropped,
            self._said(status) if status is not None else None,
            parent is not None and parent[2],
        )

    def _said(self, status: Status) -> tuple[int, str]:
        description = status.description
        if not description:
            return status.status_code._value_, ""
        return status.status_code._value_, masked(description) if self._masking else description

    def _event(self, event: Event) -> bytes:
        try:
            name, timestamp, attributes = _parts_of_event(event.__dict__)
        except (AttributeError, KeyError):
            name, timestamp, attributes = event.name, event.timestamp, event.attributes
        dropped = attributes.dropped if type(attributes) is BoundedAttributes else event.dropped_attributes
        encoded = self._attributes(EVENT_ATTRIBUTES, attributes)
        return event_field(timestamp, masked(name) if self._masking else name, encoded, dropped)

    def _link(self, link: Link) -> bytes:
        context = link.context
        return link_field(
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            self._attributes(LINK_ATTRIBUTES, link.attributes),
            link.dropped_attributes,
            remote=context.is_remote,
        )

    def _attributes(self, tag: bytes, attributes: Mapping[str, object] | None) -> bytes:
        if type(attributes) is BoundedAttributes:  # whose own items() is slow
            attributes = getattr(attributes, "_dict", attributes)
        if not attributes:
            return b""
        if not self._masking:
            return encode_attributes(tag, attributes)
        return tag + tag.join([self._masked_pair(key, value) for key, value in attributes.items()])

    def _masked_pair(self, key: str, value: object) -> bytes:
        kind = type(value)
        entry = (key, kind, value) if kind is str or kind is int or kind is bool else None
        pair = self._cache.get(entry) if entry is not None else None
        if pair is None:
            pair = encode_pair(masked(key), _finite(masked_value(key, value)))
            if entry is not None and len(pair) <= _LONGEST_CACHED:
                if len(self._cache) >= self._cache_size:
                    self._cache.clear()
                self._cache[entry] = pair
        return pair


def _asked(span: ReadableSpan) -> tuple[Any, ...]:
    """Return the parts of anything that answers as a span does."""
    context, times = span.get_span_context(), (span.start_time, span.end_time)
    return context, span.parent, span.status, span.name, span.kind, *times, span.attributes, span.events, span.links


def _finite(value: Any) -> Any:
    """Write NaN and infinities as text, and with them the rest of their list, so that it stays of one type."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        made = [_finite(item) for item in value]
        odd = any(isinstance(item, float) and not isfinite(item) for item in value)
        return [item if item is None else str(item) for item in made] if odd else made
    return value


def _scope(scope: InstrumentationScope | None) -> tuple[bytes, str]:
    if scope is None:
        return b"", ""
    return encode_scope(scope.name or "", scope.version or "", scope.attributes), scope.schema_url or ""
