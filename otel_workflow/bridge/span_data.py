"""A finished span as plain data: what the bridge builds from events and hands to the encoder.

Standard library only, so that a reader of journals needs no SDK. Ids are bytes, as OTLP carries
them; times are wall-clock time in integer nanoseconds since the epoch; numbers are OTLP's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ("SpanData", "SpanEvent", "SpanLink")

_EMPTY: Mapping[str, object] = MappingProxyType({})


def _no_attributes() -> Mapping[str, object]:
    return _EMPTY  # by a factory: before Python 3.12 a mapping proxy has no hash and is taken for mutable


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened at one moment of a span."""

    time_ns: int
    name: str
    attributes: Mapping[str, object] = field(default_factory=_no_attributes)
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A reference to another span, in this trace or any other; ``remote`` if it came over a wire."""

    trace_id: bytes
    span_id: bytes
    attributes: Mapping[str, object] = field(default_factory=_no_attributes)
    trace_state: str = ""
    remote: bool = True
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanData:
    """One finished span.

    ``trace_id`` has 16 bytes, ``span_id`` 8, ``parent_span_id`` 8 or none for a root. ``kind`` is
    OTLP's number (1 internal, 2 server, 3 client, 4 producer, 5 consumer), ``status_code`` too
    (0 unset, 1 ok, 2 error). The ``dropped_*`` counts say how many were left out by limits.
    ``trace_flags`` holds the W3C flags for whoever decides on export; they are not encoded, as
    the SDK's exporter does not encode them either.
    """

    trace_id: bytes
    span_id: bytes
    name: str
    start_ns: int
    end_ns: int
    parent_span_id: bytes = b""
    kind: int = 1
    attributes: Mapping[str, object] = field(default_factory=_no_attributes)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    status_code: int = 0
    status_message: str = ""
    trace_state: str = ""
    parent_is_remote: bool = False
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    trace_flags: int = 1
