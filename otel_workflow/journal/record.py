"""Event record ⇄ Event: the flat form in which events of phases stand in the journal.

A fixed binary head (ids, times, transition, flags) and one JSON object with the rest, encoded by
the standard library alone. The head is enough to route a record without reading its JSON.
``docs/journal-format.md`` specifies both.
"""

from __future__ import annotations

import json
import json.encoder
import struct
from collections.abc import Callable, Mapping
from typing import Any

from otel_workflow.errors import DecodeError
from otel_workflow.events import (
    TRANSITIONS,
    Event,
    Outcome,
    PhaseFacts,
    SpanRef,
    event_id,
)

__all__ = (
    "EVENT_HEAD",
    "IS_RUN",
    "MAKER_SDK",
    "NESTED",
    "NO_TRANSITION",
    "PARENT_REMOTE",
    "SAMPLED",
    "SPAN_HEAD",
    "VERSION",
    "decode_anchor",
    "decode_event",
    "decode_span",
    "dumps",
    "encode_anchor",
    "encode_event",
    "encode_span",
    "event_payload",
    "quoted",
)

EVENT_HEAD = struct.Struct("<BBBB16s8s8sQQ")
"""version, transition, flags, reserved, trace id, span id, parent span id, wall ns, monotonic ns."""
_HEAD = struct.Struct("<BBBB32sQQ")
"""The same with the three ids in one piece, as a producer has them."""
VERSION = 1
"""The version of the head and of the JSON behind it."""
NO_TRANSITION = 255
SAMPLED, PARENT_REMOTE, MAKER_SDK, IS_RUN, NESTED = 1, 2, 4, 8, 16
_NO_ID = b"\x00" * 8
SPAN_HEAD = struct.Struct("<HHI")
"""length of the scope, of the schema URL, of the resource."""
_TYPES: Mapping[str, type] = {
    "action": str,
    "attempt": int,
    "attributes": dict,
    "description": str,
    "detail": str,
    "dropped": list,
    "error_type": str,
    "events": list,
    "handed": bool,
    "inferred": bool,
    "links": list,
    "name": str,
    "outcome": str,
    "parent_phase": str,
    "payload": dict,
    "reason": str,
    "run": str,
    "seq": int,
    "source": str,
    "start": int,
    "status_ok": bool,
    "subject": str,
    "task_type": str,
    "tracestate": str,
    "workflow": str,
}

quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii
"""Return a text as a JSON string in ASCII."""


class _Encoder:
    """Does what ``JSONEncoder.encode`` does, without making the encoder in C anew for every call."""

    __slots__ = ("_chunks", "_plain")

    def __init__(self) -> None:
        self._plain = json.JSONEncoder(separators=(",", ":"), check_circular=False)
        make = getattr(json.encoder, "c_make_encoder", None)  # None where there is no accelerator
        self._chunks = make and make(None, self._plain.default, quoted, None, ":", ",", False, False, True)

    def encode(self, value: Any) -> str:
        return self._plain.encode(value) if self._chunks is None else "".join(self._chunks(value, 0))


dumps = _Encoder().encode
"""Return an object of clean values as JSON without spaces."""


def event_payload(transition: int, flags: int, ids: bytes, time_ns: int, mono_ns: int, text: str) -> bytes:
    """Return the payload of an event record whose JSON is already text, in ASCII.

    ``ids`` are trace id, span id and parent span id, 32 bytes together.
    """
    return _HEAD.pack(VERSION, transition, flags, 0, ids, time_ns, mono_ns) + text.encode()


def encode_event(
    transition: int,
    flags: int,
    trace_id: bytes,
    span_id: bytes,
    parent_span_id: bytes,
    time_ns: int,
    mono_ns: int,
    body: Mapping[str, Any],
) -> bytes:
    """Return the payload of an event record; ``body`` holds clean values only."""
    return event_payload(transition, flags, trace_id + span_id + parent_span_id, time_ns, mono_ns, dumps(body))


def decode_event(payload: bytes) -> Event:
    """Return the event of a record.

    Raises DecodeError (OW-302) when the payload is no event of a version this code knows.
    """
    try:
        version, transition, flags, _, trace, span, parent, time_ns, _mono = EVENT_HEAD.unpack_from(payload)
        return _event(transition, flags, trace.hex(), span.hex(), parent, time_ns, _body(version, payload))
    except (struct.error, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DecodeError(f"an event record does not parse: {error}", code="OW-302") from error


def _body(version: int, payload: bytes) -> dict[str, Any]:
    """Return the JSON part, every known key of which has its type: what comes later relies on it."""
    body = json.loads(payload[EVENT_HEAD.size :])
    if version != VERSION or not isinstance(body, dict):
        raise ValueError(f"version {version}")
    for key, value in body.items():
        kind = _TYPES.get(key)
        if kind is not None and type(value) is not kind and value is not None:
            raise TypeError(f"{key} is no {kind.__name__}")
    return {key: value for key, value in body.items() if value is not None}


def _event(
    transition: int, flags: int, trace: str, span: str, parent: bytes, time_ns: int, body: dict[str, Any]
) -> Event:
    facts = _facts(flags, time_ns, body)
    ref = SpanRef(
        trace_id=trace,
        span_id=span,
        parent_span_id=parent.hex() if parent != _NO_ID else None,
        trace_flags=flags & SAMPLED,
        trace_state=body.get("tracestate", ""),
        parent_is_remote=bool(flags & PARENT_REMOTE),
        maker="sdk" if flags & MAKER_SDK else "bridge",
    )
    subject = body.get("subject", "phase")
    event_type = subject if transition == NO_TRANSITION else f"{subject}.{TRANSITIONS[transition]}"
    return Event(
        id=event_id(trace, span, body.get("seq", transition)),
        type=event_type,
        source=body.get("source", "otel_workflow"),
        time_ns=time_ns,
        run_id=body.get("run"),
        phase_id=span,
        payload=_payload(facts, body, time_ns),
        span=ref,
        facts=facts,
    )


def _facts(flags: int, time_ns: int, body: dict[str, Any]) -> PhaseFacts:
    outcome = body.get("outcome")
    return PhaseFacts(
        name=body["name"],
        start_ns=body.get("start", time_ns),
        is_run=bool(flags & IS_RUN),
        nested=bool(flags & NESTED),
        workflow=body.get("workflow", ""),
        action=body.get("action", "RUN"),
        task_type=body.get("task_type"),
        detail=body.get("detail", "phase"),
        attempt=body.get("attempt", 1),
        inferred=body.get("inferred", False),
        parent_phase=body.get("parent_phase"),
        attributes=body.get("attributes", {}),
        links=tuple(_link(*link) for link in body.get("links", ())),
        ended_ns=time_ns if outcome else None,
        outcome=Outcome(outcome) if outcome else None,
        reason=body.get("reason", ""),
        error_type=body.get("error_type"),
        handed=body.get("handed", False),
        description=body.get("description", ""),
        status_ok=body.get("status_ok", False),
        span_events=tuple(_span_event(*event) for event in body.get("events", ())),
        dropped=_three(*body.get("dropped", (0, 0, 0))),
    )


def _link(trace_id: str, span_id: str, attributes: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    if (len(bytes.fromhex(trace_id)), len(bytes.fromhex(span_id))) != (16, 8) or type(attributes) is not dict:
        raise ValueError("a link has no ids")
    return trace_id, span_id, attributes


def _span_event(time_ns: int, name: str, attributes: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    if (type(time_ns), type(name), type(attributes)) != (int, str, dict):
        raise TypeError("a span event is no time, name and attributes")
    return time_ns, name, attributes


def _three(attributes: int, events: int, links: int) -> tuple[int, int, int]:
    return int(attributes), int(events), int(links)


def _payload(facts: PhaseFacts, body: dict[str, Any], time_ns: int) -> dict[str, Any]:
    """The payload a bus subscriber sees: the same keys, whether live or read back."""
    payload: dict[str, Any] = {"name": facts.name, "attempt": facts.attempt, "timestamp": time_ns / 1e9}
    if facts.outcome is not None:
        payload["duration"] = (time_ns - facts.start_ns) / 1e9
        payload["success"] = facts.outcome in (Outcome.SUCCESS, Outcome.SKIP)
    if facts.reason:
        payload["error"] = facts.reason
    if facts.error_type:
        payload["error_type"] = facts.error_type
    if facts.attributes:
        payload["attributes"] = facts.attributes
    payload.update(body.get("payload", {}))
    return payload


def encode_span(scope: bytes, schema_url: bytes, resource: bytes, span: bytes) -> bytes:
    """Return the payload of a span record: a finished span as OTLP bytes, with its scope.

    An empty ``resource`` means the one in the segment's header.
    """
    return SPAN_HEAD.pack(len(scope), len(schema_url), len(resource)) + scope + schema_url + resource + span


def decode_span(payload: bytes) -> tuple[bytes, str, bytes, bytes]:
    """Return (scope, schema URL, resource, span) of a span record; raises DecodeError (OW-303)."""
    try:
        scope, schema, resource = SPAN_HEAD.unpack_from(payload)
        first = SPAN_HEAD.size
        second, third = first + scope, first + scope + schema
        last = third + resource
        schema_url = payload[second:third].decode()
    except (struct.error, ValueError) as error:
        raise DecodeError(f"a span record does not parse: {error}", code="OW-303") from error
    if last > len(payload):
        raise DecodeError("a span record does not parse: its lengths point beyond it", code="OW-303")
    return payload[first:second], schema_url, payload[third:last], payload[last:]


def encode_anchor(offset_ns: int, moved_ns: int, mono_ns: int) -> bytes:
    """Return the payload of an anchor record: wall minus monotonic time from now on, and by how much it changed."""
    return dumps({"anchor": [mono_ns + offset_ns, mono_ns], "moved": moved_ns}).encode()


def decode_anchor(payload: bytes) -> tuple[int, int, int]:
    """Return (wall ns, monotonic ns, moved by ns) of an anchor record; raises DecodeError (OW-304)."""
    try:
        said = json.loads(payload)
        wall, mono = said["anchor"]
        return int(wall), int(mono), int(said["moved"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DecodeError(f"an anchor record does not parse: {error}", code="OW-304") from error
