"""Events go over wires as CloudEvents 1.0 and come back as they were; what is no event is refused with a remedy."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.codec import MAX_BYTES, SCHEMA_VERSION, decode, encode
from otel_workflow.errors import DecodeError
from otel_workflow.events import Event, Outcome, PhaseFacts, SpanRef

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORD = TEXT.filter(bool)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)
NANOSECONDS = st.integers(0, 2**64 - 1)
TRACE = st.binary(min_size=16, max_size=16).map(bytes.hex)
SPAN = st.binary(min_size=8, max_size=8).map(bytes.hex)
FACTS = st.builds(
    PhaseFacts,
    name=TEXT,
    start_ns=NANOSECONDS,
    is_run=st.booleans(),
    workflow=TEXT,
    task_type=st.none() | TEXT,
    attempt=st.integers(1, 9),
    parent_phase=st.none() | SPAN,
    attributes=OBJECT,
    links=st.lists(st.tuples(TRACE, SPAN, OBJECT), max_size=2).map(tuple),
    ended_ns=st.none() | NANOSECONDS,
    outcome=st.none() | st.sampled_from(Outcome),
    reason=TEXT,
    error_type=st.none() | TEXT,
    span_events=st.lists(st.tuples(NANOSECONDS, TEXT, OBJECT), max_size=2).map(tuple),
    dropped=st.tuples(*[st.integers(0, 9)] * 3),
)
SPANS = st.builds(
    SpanRef,
    trace_id=TRACE,
    span_id=SPAN,
    parent_span_id=st.none() | SPAN,
    trace_flags=st.integers(0, 255),
    trace_state=TEXT,
    parent_is_remote=st.booleans(),
    maker=st.sampled_from(["bridge", "sdk"]),
)
EVENTS = st.builds(
    Event,
    id=WORD,
    type=WORD,
    source=WORD,
    time_ns=NANOSECONDS,
    run_id=st.none() | TEXT,
    phase_id=st.none() | TEXT,
    payload=OBJECT,
    span=st.none() | SPANS,
    correlation_id=st.none() | TEXT,
    headers=OBJECT,
    facts=st.none() | FACTS,
)
EVENT = Event(
    id="4bf92f3577b34da6-00f067aa0ba902b7-1",
    type="phase.started",
    source="otel_workflow",
    time_ns=1_700_000_000_123_456_789,
    run_id="run-1",
    phase_id="00f067aa0ba902b7",
    payload={"name": "lint", "attempt": 1},
    span=SpanRef("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
)
FOREIGN = {
    "specversion": "1.0",
    "id": "271069a8",
    "source": "/event/producer",
    "type": "dev.cdevents.pipelinerun.started.0.2.0",
    "time": "2026-01-31T12:00:00+02:00",
    "subject": "pipeline 5",
    "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "data": {"pipelineName": "nightly"},
}


def foreign(**changes: Any) -> str:
    return json.dumps({key: value for key, value in {**FOREIGN, **changes}.items() if value is not ...})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_an_event_comes_back_as_it_went(event: Event) -> None:
    assert event == decode(encode(event))


def test_the_message_is_a_cloudevent_with_our_extensions() -> None:
    message = json.loads(encode(EVENT))
    assert {
        "specversion": "1.0",
        "id": EVENT.id,
        "type": "phase.started",
        "source": "otel_workflow",
        "time": "2023-11-14T22:13:20.123456789Z",
        "timeunixnano": "1700000000123456789",
        "datacontenttype": "application/json",
        "owschema": SCHEMA_VERSION,
    } == {key: value for key, value in message.items() if key != "data"}
    assert {"payload", "run_id", "phase_id", "span"} == set(message["data"])
    assert [] == [name for name in message if re.fullmatch(r"[a-z0-9]{1,20}", name) is None]


def test_a_strangers_event_is_read_with_its_data_as_payload_and_what_is_unknown_as_headers() -> None:
    event = decode(foreign())
    assert {"pipelineName": "nightly"} == event.payload
    assert {"subject": "pipeline 5", "traceparent": FOREIGN["traceparent"]} == event.headers
    assert (1_769_853_600_000_000_000, None, None) == (event.time_ns, event.span, event.facts)


@pytest.mark.parametrize(
    ("data", "payload"), [(..., {}), (None, {}), ([1], {"data": [1]}), ("x", {"data": "x"}), ({"a": None}, {"a": None})]
)
def test_a_stranger_may_carry_any_data(data: Any, payload: Any) -> None:
    assert payload == decode(foreign(data=data)).payload


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31t12:00:00z", 1_769_860_800),
        ("2026-01-31T12:00:00.5Z", 1_769_860_800.5),
        ("2026-01-31T12:00:00-05:30", 1_769_880_600),
        ("2026-01-31T12:00:00.123456789123Z", 1_769_860_800.123456789),
    ],
)
def test_times_are_read_as_rfc_3339(text: str, seconds: float) -> None:
    assert abs(round(seconds * 1e9) - decode(foreign(time=text)).time_ns) < 500


def test_the_nanoseconds_count_where_both_times_are_given() -> None:
    assert 5 == decode(foreign(timeunixnano="5")).time_ns == decode(foreign(timeunixnano=5, time=...)).time_ns


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("", "document"),
        ("{", "document"),
        ("[]", "document"),
        ("5", "document"),
        ('{"a":NaN}', "document"),
        (b"\xff\xfe\xff", "document"),
        ("[" * 200_000, "document"),
        ('{"a":' * 40 + "1" + "}" * 40, "depth"),
        (b'{"a":"' + b"x" * MAX_BYTES + b'"}', "size"),
        (foreign(specversion="0.3"), "specversion"),
        (foreign(specversion=...), "specversion"),
        (foreign(id=...), "id"),
        (foreign(id=""), "id"),
        (foreign(id=5), "id"),
        (foreign(id="x" * 2_000), "id"),
        (foreign(type=""), "type"),
        (foreign(source=None), "source"),
        (foreign(time=...), "time"),
        (foreign(time="yesterday"), "time"),
        (foreign(time="2026-13-31T12:00:00Z"), "time"),
        (foreign(time="2026-01-31T12:00:00"), "time"),
        (foreign(time="1969-12-31T23:59:59Z"), "time"),
        (foreign(timeunixnano="soon"), "timeunixnano"),
        (foreign(timeunixnano=-1), "timeunixnano"),
        (foreign(timeunixnano=2**64), "timeunixnano"),
        (foreign(owschema=2), "owschema"),
        (foreign(owschema=0), "owschema"),
        (foreign(owschema=1, data=5), "data"),
        (foreign(owschema=1, data={"payload": []}), "data.payload"),
        (foreign(owschema=1, data={"span": {"trace_id": "a" * 32}}), "data.span.span_id"),
        (foreign(owschema=1, data={"span": {"trace_id": "A" * 32, "span_id": "b" * 16}}), "data.span.trace_id"),
        (foreign(owschema=1, data={"span": {"trace_id": "a" * 32, "span_id": "b" * 15}}), "data.span.span_id"),
        (
            foreign(owschema=1, data={"span": {"trace_id": "a" * 32, "span_id": "b" * 16, "parent_span_id": ""}}),
            "data.span.parent_span_id",
        ),
        (
            foreign(owschema=1, data={"span": {"trace_id": "a" * 32, "span_id": "b" * 16, "trace_flags": 256}}),
            "data.span.trace_flags",
        ),
        (foreign(owschema=1, data={"facts": {"name": "x"}}), "data.facts.start_ns"),
        (foreign(owschema=1, data={"facts": {"name": "x", "start_ns": 1, "outcome": "good"}}), "data.facts.outcome"),
        (
            foreign(owschema=1, data={"facts": {"name": "x", "start_ns": 1, "links": [["zz", "b" * 16, {}]]}}),
            "data.facts.links",
        ),
    ],
)
def test_what_is_no_event_is_refused_naming_field_value_and_remedy(message: bytes | str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(message)
    error = caught.value
    assert ("OW-301", True) == (error.code, bool(error.hint))
    assert str(error).startswith(f"OW-301: {field}="), str(error)
    assert len(str(error)) < 400
    assert "\n" not in str(error)


def test_a_newer_minor_key_is_ignored_so_that_old_readers_go_on() -> None:
    message = json.loads(encode(EVENT))
    message["data"]["mood"] = "good"
    message["data"]["span"]["colour"] = "blue"
    assert EVENT == decode(json.dumps(message))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | JSON.map(json.dumps))
def test_anything_else_is_an_event_or_refused(message: bytes | str) -> None:
    with pytest.raises(DecodeError):
        decode(message)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        2**70,
        b"\xff",
        "\udc80",
        Hostile(),
        {1, 2},
        {"\udc80": {1: Hostile()}},
        (1, [Hostile()]),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_carry_goes_as_text(value: object) -> None:
    read = decode(encode(replace(EVENT, payload={"name": "lint", "value": value}, headers={"value": value})))
    assert ("lint", EVENT.span) == (read.payload["name"], read.span)
    assert read == decode(encode(read))


def test_data_that_is_too_deep_or_recursive_is_flattened() -> None:
    ring: list[Any] = []
    ring.append(ring)
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"in": deep}
    read = decode(encode(replace(EVENT, payload={"ring": ring, "deep": deep})))
    assert {"ring", "deep"} == set(read.payload)


def test_an_event_that_is_too_large_goes_without_what_can_be_missed() -> None:
    facts = PhaseFacts("lint", 1, attributes={"a": "x" * MAX_BYTES}, span_events=((1, "e", {}),), dropped=(1, 0, 0))
    large = replace(EVENT, payload={"name": "lint", "log": "x" * MAX_BYTES, "error": "e" * 5_000}, facts=facts)
    made = encode(large)
    read = decode(made)
    assert len(made) < MAX_BYTES
    assert ({"name", "error", "truncated"}, True) == (set(read.payload), read.payload["truncated"])
    assert read.facts == PhaseFacts("lint", 1, dropped=(2, 1, 0))
    assert (EVENT.id, EVENT.span, EVENT.time_ns) == (read.id, read.span, read.time_ns)


def test_pydantic_is_loaded_with_the_codec_and_with_nothing_else() -> None:
    program = (
        "import sys, otel_workflow, otel_workflow.journal, otel_workflow.settings\n"
        "assert 'pydantic' not in sys.modules\n"
        "import otel_workflow.codec\n"
        "assert 'pydantic' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
