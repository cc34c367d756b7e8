"""Event ⇄ CloudEvents 1.0 in JSON: the form in which events travel over wires.

The journal has its own, cheaper form; this one is for brokers, webhooks and foreign input, and
the only place where pydantic judges what came in. Nobody imports this module at start.

An event's ``type`` goes over the wire as it is (``hooks.strategy.started``), without a reversed
domain name in front: subscribers on both sides of a wire then name the same event by the same
word. ``time`` is RFC 3339 with nine digits; the extension ``timeunixnano`` carries the same moment
as OTLP writes it, in decimal digits, and counts where both are given. ``owschema`` is the version
of ``data``; without it an event is a stranger's, and its ``data`` is the payload. Attributes that
CloudEvents and we do not know become headers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from otel_workflow.errors import DecodeError
from otel_workflow.events import Event, PhaseFacts, SpanRef
from otel_workflow.masking import excerpt, hidden, masked, names_secret
from otel_workflow.values import clean_text, clean_value

__all__ = ("MAX_BYTES", "SCHEMA_VERSION", "decode", "encode")

SCHEMA_VERSION = 1
"""The version of ``data``; readers refuse a newer one and ignore keys that they do not know."""
MAX_BYTES = 1024 * 1024
"""Largest event on a wire, both ways."""
_DEPTH = 32
_LONGEST = 1024
_PAYLOAD = ("name", "attempt", "timestamp", "duration", "success", "error", "error_type")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH = "1970-01-01T00:00:00+00:00"
_LATEST_NS = 253_402_300_799_999_999_999  # the end of the year 9999
_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What stands around ``data``; pydantic reads it by these types."""

    specversion: Literal["1.0"]
    id: str
    type: str
    source: str
    time: str | None = None
    timeunixnano: int | None = None
    correlationid: str | None = None
    owschema: int | None = None
    datacontenttype: str | None = None


@dataclass(frozen=True, slots=True)
class _Data:
    """What stands in ``data`` of our schema."""

    payload: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    phase_id: str | None = None
    span: SpanRef | None = None
    facts: PhaseFacts | None = None


# -- out --------------------------------------------------------------------------------------------


def encode(event: Event) -> bytes:
    """Return the event as a CloudEvent, at most 1 MiB; never raises.

    Secrets are masked, and what JSON cannot carry becomes text. Of an event that is too large only
    the known keys of its payload go, with ``truncated``; what its span gathered is counted as dropped.
    """
    made = _encoded(event)
    return made if len(made) <= MAX_BYTES else _encoded(_cut(event))


def _encoded(event: Event) -> bytes:
    data: dict[str, Any] = {"payload": _plain(event.payload)}
    if event.headers:
        data["headers"] = _plain(event.headers)
    if event.run_id is not None:
        data["run_id"] = clean_text(event.run_id)
    if event.phase_id is not None:
        data["phase_id"] = clean_text(event.phase_id)
    if event.span is not None:
        data["span"] = _plain(asdict(event.span))
    if event.facts is not None:
        data["facts"] = _plain({name: getattr(event.facts, name) for name in PhaseFacts.__slots__})
    message: dict[str, Any] = {
        "specversion": "1.0",
        "id": clean_text(event.id, 1000),
        "type": clean_text(event.type, 1000),
        "source": clean_text(event.source, 1000) or "otel_workflow",
        "timeunixnano": str(event.time_ns),
        "datacontenttype": "application/json",
        "owschema": SCHEMA_VERSION,
    }
    if 0 <= event.time_ns <= _LATEST_NS:
        message["time"] = _rfc3339(event.time_ns)
    if event.correlation_id is not None:
        message["correlationid"] = clean_text(event.correlation_id)
    return json.dumps({**message, "data": data}, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any, depth: int = 0) -> Any:
    """Return the value as JSON has it: nested, but no deeper than a reader of ours will follow."""
    if isinstance(value, Mapping) and depth < _DEPTH - 4:
        return dict(_pair(key, item, depth + 1) for key, item in value.items())
    if isinstance(value, list | tuple) and depth < _DEPTH - 4:
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, str):
        return clean_text(value, MAX_BYTES)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return clean_value(value)


def _pair(key: Any, value: Any, depth: int) -> tuple[str, Any]:
    name, made = clean_text(str(clean_value(key)), 1024), _plain(value, depth)
    return name, hidden(name, made) if names_secret(name) else made


def _cut(event: Event) -> Event:
    payload: dict[str, Any] = {key: event.payload[key] for key in _PAYLOAD if key in event.payload}
    payload = {key: clean_value(value, 1024) for key, value in payload.items()} | {"truncated": True}
    facts = event.facts
    if facts is not None:
        lost = len(facts.attributes), len(facts.span_events), len(facts.links)
        dropped = tuple(a + b for a, b in zip(facts.dropped, lost, strict=True))
        facts = replace(facts, attributes={}, span_events=(), links=(), dropped=dropped)  # type: ignore[arg-type]
    return replace(event, payload=payload, headers={}, facts=facts)


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromisoformat(_EPOCH) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


# -- in ---------------------------------------------------------------------------------------------


def decode(data: bytes | str) -> Event:
    """Return the event of a CloudEvent in JSON.

    Raises DecodeError (OW-301), which names the field, its value and the remedy, for anything
    else: too large (1 MiB), too deep, not JSON, not a CloudEvent 1.0, or of a newer version.
    """
    message = _parsed(data)
    known = {each.name for each in fields(_Envelope)} | {"data"}
    envelope = _validated(_Envelope, {name: message[name] for name in message.keys() & known - {"data"}}, "")
    _check_envelope(envelope)
    inside = message.get("data")
    if envelope.owschema is None:
        foreign = inside if isinstance(inside, dict) else {"data": inside}
        content = _Data(payload={} if inside is None else foreign)
    else:
        content = _validated(_Data, inside, "data.")
        _check_ids(content)
    return Event(
        id=envelope.id,
        type=envelope.type,
        source=envelope.source,
        time_ns=_time_of(envelope),
        run_id=content.run_id,
        phase_id=content.phase_id,
        payload=content.payload,
        span=content.span,
        correlation_id=envelope.correlationid,
        headers={name: value for name, value in message.items() if name not in known} | content.headers,
        facts=content.facts,
    )


def _refuse(name: str, value: object, remedy: str) -> DecodeError:
    said = repr(value)
    said = masked(said) if len(said) <= 80 else f"{excerpt(said, 0, 80)}…"
    return DecodeError(f"{name}={said} cannot be read as an event", hint=remedy)


def _parsed(data: bytes | str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise _refuse("size", len(data), f"send at most {MAX_BYTES} bytes")
    try:
        message = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _refuse("document", clean_value(data[:60]), "send one JSON object") from error
    if not isinstance(message, dict):
        raise _refuse("document", message, "send one JSON object, not a batch")
    level: list[Any] = [message]
    for _ in range(_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise _refuse("depth", f"more than {_DEPTH}", "send flatter data")
    return message


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _inside(value: Any) -> list[Any]:
    """Return what a container holds that may itself hold something."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [inner for inner in held if isinstance(inner, dict | list)]


@cache
def _adapters() -> dict[type, TypeAdapter[Any]]:
    return {shape: TypeAdapter(shape) for shape in (_Envelope, _Data)}  # some milliseconds, at the first event


def _validated(shape: type[Shape], data: Any, where: str) -> Shape:
    try:
        return cast("Shape", _adapters()[shape].validate_python(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = where + ".".join(map(str, first["loc"]))
        value = None if first["type"] == "missing" else first["input"]
        raise _refuse(name.rstrip(".") or "document", value, first["msg"]) from error


def _check_envelope(envelope: _Envelope) -> None:
    version = envelope.owschema
    if version is not None and not 1 <= version <= SCHEMA_VERSION:
        raise _refuse("owschema", version, f"this version reads up to {SCHEMA_VERSION}: pip install -U otel-workflow")
    for name in ("id", "type", "source"):
        if not 1 <= len(getattr(envelope, name)) <= _LONGEST:
            raise _refuse(name, getattr(envelope, name), f"give 1 to {_LONGEST} characters")


def _check_ids(content: _Data) -> None:
    """Ids become bytes later on: they are lower-case hex of their length, or nothing at all."""
    span, links = content.span, content.facts.links if content.facts is not None else ()
    ids = [(_TRACE_ID, "facts.links", trace_id) for trace_id, _, _ in links]
    ids += [(_SPAN_ID, "facts.links", span_id) for _, span_id, _ in links]
    if span is not None:
        ids += [(_TRACE_ID, "span.trace_id", span.trace_id), (_SPAN_ID, "span.span_id", span.span_id)]
        ids += [(_SPAN_ID, "span.parent_span_id", span.parent_span_id)] if span.parent_span_id is not None else []
        if not 0 <= span.trace_flags <= 255:
            raise _refuse("data.span.trace_flags", span.trace_flags, "give 0 to 255")
    for pattern, name, value in ids:
        if pattern.fullmatch(value) is None:
            raise _refuse(f"data.{name}", value, f"give {pattern.pattern}")


def _time_of(envelope: _Envelope) -> int:
    given = envelope.timeunixnano
    if given is not None:
        if not 0 <= given < 2**64:
            raise _refuse("timeunixnano", given, "give nanoseconds since 1970")
        return given
    remedy = "give time as RFC 3339 (2026-01-31T12:00:00Z) or timeunixnano in digits"
    found = _TIME.fullmatch(envelope.time or "")
    if found is None:
        raise _refuse("time", envelope.time, remedy)
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00")
    except ValueError as error:
        raise _refuse("time", envelope.time, remedy) from error
    seconds = (moment - datetime.fromisoformat(_EPOCH)) // timedelta(seconds=1)
    if sign:
        seconds += (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "+" else 1)
    time_ns = seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")[:9])
    if time_ns < 0:
        raise _refuse("time", envelope.time, "give a time after 1970")
    return time_ns
