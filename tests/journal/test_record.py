"""Events and spans survive the journal; what is no record is refused with a code."""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.errors import DecodeError
from otel_workflow.events import TRANSITIONS, Event, Outcome, PhaseFacts, SpanRef
from otel_workflow.journal.record import (
    EVENT_HEAD,
    IS_RUN,
    MAKER_SDK,
    NESTED,
    NO_TRANSITION,
    PARENT_REMOTE,
    SAMPLED,
    decode_anchor,
    decode_event,
    decode_span,
    encode_anchor,
    encode_event,
    encode_span,
)
from otel_workflow.journal.writer import FRAME, MAGIC, frame

TEXT = st.text(max_size=20)
VALUES = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.lists(TEXT, max_size=3))
ATTRIBUTES = st.dictionaries(TEXT, VALUES, max_size=3)
NANOSECONDS = st.integers(0, 2**63 - 1)
TRACE = st.binary(min_size=16, max_size=16)
SPAN = st.binary(min_size=8, max_size=8)
HEX_TRACE, HEX_SPAN = TRACE.map(bytes.hex), SPAN.map(bytes.hex)


@st.composite
def recorded(draw: st.DrawFn) -> tuple[tuple[Any, ...], Event]:
    """What a producer hands to ``encode_event``, and the event it means."""
    transition = draw(st.sampled_from([*range(len(TRANSITIONS)), NO_TRANSITION]))
    trace, span, parent = draw(TRACE), draw(SPAN), draw(SPAN.filter(any) | st.just(b"\0" * 8))
    time_ns, start = draw(NANOSECONDS), draw(NANOSECONDS)
    outcome = draw(st.none() | st.sampled_from(Outcome))
    facts = PhaseFacts(
        name=draw(TEXT),
        start_ns=start,
        is_run=draw(st.booleans()),
        nested=draw(st.booleans()),
        workflow=draw(TEXT),
        action=draw(TEXT),
        task_type=draw(st.none() | TEXT),
        detail=draw(TEXT),
        attempt=draw(st.integers(1, 99)),
        inferred=draw(st.booleans()),
        parent_phase=draw(st.none() | HEX_SPAN),
        attributes=draw(ATTRIBUTES),
        links=tuple(draw(st.lists(st.tuples(HEX_TRACE, HEX_SPAN, ATTRIBUTES), max_size=2))),
        ended_ns=time_ns if outcome else None,
        outcome=outcome,
        reason=draw(TEXT),
        error_type=draw(st.none() | TEXT),
        handed=draw(st.booleans()),
        description=draw(TEXT),
        status_ok=draw(st.booleans()),
        span_events=tuple(draw(st.lists(st.tuples(NANOSECONDS, TEXT, ATTRIBUTES), max_size=2))),
        dropped=draw(st.tuples(*[st.integers(0, 9)] * 3)),
    )
    ref = SpanRef(
        trace_id=trace.hex(),
        span_id=span.hex(),
        parent_span_id=parent.hex() if any(parent) else None,
        trace_flags=draw(st.integers(0, 1)),
        trace_state=draw(TEXT),
        parent_is_remote=draw(st.booleans()),
        maker=draw(st.sampled_from(["bridge", "sdk"])),
    )
    subject, source, run, sequence = draw(TEXT), draw(TEXT), draw(TEXT), draw(st.integers(1, 999))
    own = draw(ATTRIBUTES)
    flags = (
        (SAMPLED if ref.trace_flags else 0)
        | (PARENT_REMOTE if ref.parent_is_remote else 0)
        | (MAKER_SDK if ref.maker == "sdk" else 0)
        | (IS_RUN if facts.is_run else 0)
        | (NESTED if facts.nested else 0)
    )
    said = {name: getattr(facts, name) for name in PhaseFacts.__slots__ if name not in ("is_run", "nested", "ended_ns")}
    body = {key: value for key, value in said.items() if key not in ("start_ns", "span_events")}
    body |= {"start": start, "events": facts.span_events, "subject": subject, "source": source}
    body |= {"run": run, "seq": sequence, "tracestate": ref.trace_state, "payload": own}
    payload: dict[str, Any] = {"name": facts.name, "attempt": facts.attempt, "timestamp": time_ns / 1e9}
    if outcome:
        payload |= {
            "duration": (time_ns - start) / 1e9,
            "success": outcome in (Outcome.SUCCESS, Outcome.SKIP),
        }
    named = {"error": facts.reason, "error_type": facts.error_type, "attributes": facts.attributes}
    payload |= {key: value for key, value in named.items() if value}
    event = Event(
        id=f"{trace.hex()[:16]}-{span.hex()}-{sequence}",
        type=subject if transition == NO_TRANSITION else f"{subject}.{TRANSITIONS[transition]}",
        source=source,
        time_ns=time_ns,
        run_id=run,
        phase_id=span.hex(),
        payload=payload | own,
        span=ref,
        facts=facts,
    )
    return (transition, flags, trace, span, parent, time_ns, draw(NANOSECONDS), body), event


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recorded())
def test_an_event_with_all_its_facts_is_read_back_as_it_was(case: tuple[tuple[Any, ...], Event]) -> None:
    arguments, event = case
    assert event == decode_event(encode_event(*arguments))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40), st.binary(max_size=80))
def test_a_span_is_read_back_as_it_was(scope: bytes, schema: str, resource: bytes, span: bytes) -> None:
    assert (scope, schema, resource, span) == decode_span(encode_span(scope, schema.encode(), resource, span))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 255), st.integers(0, 2**32 + 5), st.binary(max_size=60), st.integers(0, 255))
def test_a_frame_carries_the_checksum_of_all_its_fields_and_its_payload(
    kind: int, sequence: int, payload: bytes, flags: int
) -> None:
    made = frame(kind, sequence, payload, flags)
    fields = FRAME.unpack_from(made)
    assert (MAGIC, kind, flags, 0, len(payload), sequence % 2**32) == fields[:6]
    assert zlib.crc32(made[:16] + payload) == fields[6]
    assert payload == made[FRAME.size :]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_refused(payload: bytes) -> None:
    for decode in (decode_event, decode_span):
        with contextlib.suppress(DecodeError):
            decode(payload)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 5},
        {"name": "x", "start": "now"},
        {"name": "x", "attributes": []},
        {"name": "x", "payload": "text"},
        {"name": "x", "outcome": "maybe"},
        {"name": "x", "links": [["zz", "11", {}]]},
        {"name": "x", "links": [["11" * 16, "11" * 7, {}]]},
        {"name": "x", "links": [1]},
        {"name": "x", "events": [["now", "said", {}]]},
        {"name": "x", "events": [[1, "said"]]},
        {"name": "x", "dropped": [1]},
        {"name": "x", "dropped": "123"},
        {"name": "x", "handed": 1},
        [1],
        "x",
    ],
)
def test_a_record_that_says_something_else_costs_itself_only(body: object) -> None:
    head = EVENT_HEAD.pack(1, 1, 0, 0, b"1" * 16, b"2" * 8, b"\0" * 8, 1, 1)
    with pytest.raises(DecodeError, match=r"^OW-302: "):
        decode_event(head + json.dumps(body).encode())


def test_a_record_of_a_newer_version_or_with_an_unknown_transition_is_refused() -> None:
    body = b'{"name":"x"}'
    for version, transition in ((2, 1), (1, len(TRANSITIONS))):
        head = EVENT_HEAD.pack(version, transition, 0, 0, b"1" * 16, b"2" * 8, b"\0" * 8, 1, 1)
        with pytest.raises(DecodeError):
            decode_event(head + body)


def test_json_that_is_too_deep_is_refused() -> None:
    head = EVENT_HEAD.pack(1, 1, 0, 0, b"1" * 16, b"2" * 8, b"\0" * 8, 1, 1)
    with pytest.raises(DecodeError):
        decode_event(head + b'{"name":' + b"[" * 100_000)


def test_what_is_null_counts_as_not_said() -> None:
    head = EVENT_HEAD.pack(1, 1, 0, 0, b"1" * 16, b"2" * 8, b"\0" * 8, 7, 1)
    event = decode_event(head + b'{"name":"x","reason":null,"run":null,"start":null}')
    assert event.facts == PhaseFacts("x", 7)
    assert event.run_id is None


@given(st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63), NANOSECONDS)
def test_an_anchor_says_both_clocks_and_how_far_they_moved(offset: int, moved: int, mono: int) -> None:
    assert (mono + offset, mono, moved) == decode_anchor(encode_anchor(offset, moved, mono))


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b'{"anchor":[1],"moved":2}', b'{"anchor":[1,2],"moved":[]}', b"\xff"]
)
def test_what_is_no_anchor_is_refused_with_a_code(payload: bytes) -> None:
    with pytest.raises(DecodeError, match="OW-304"):
        decode_anchor(payload)
