"""The fast road gives the ordinary way's bytes, or gives way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_workflow.bridge.pairs import PairEncoder, span_of_pair
from otel_workflow.errors import DecodeError
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal.record import (
    EVENT_HEAD,
    IS_RUN,
    NESTED,
    PARENT_REMOTE,
    SAMPLED,
    VERSION,
    dumps,
    encode_event,
)

BEGAN = 1_700_000_000_000_000_000
START = {"name": "lint", "run": "7", "workflow": "nightly"}
END = {**START, "start": BEGAN, "outcome": "success"}


def pair(
    number: int,
    start: dict[str, Any] = START,
    end: dict[str, Any] = END,
    *,
    took: int = 1_000,
    flags: int = SAMPLED,
    parent: int = 1,
    transition: str = "completed",
) -> tuple[bytes, bytes]:
    """A start and an end record; the number makes ids and times differ."""
    ids = (number + 1).to_bytes(16, "big"), (number + 2).to_bytes(8, "big"), parent.to_bytes(8, "big")
    began = BEGAN + number
    ended = {key: began if key == "start" else value for key, value in end.items()}
    return (
        encode_event(1, flags, *ids, began, number, {**start, "seq": 1}),
        encode_event(TRANSITIONS.index(transition), flags, *ids, began + took + number, number, {**ended, "seq": 2}),
    )


def made(*pairs: tuple[bytes, bytes]) -> list[bool]:
    """Encode the pairs one after the other; which of them took the fast road. Every byte must be right."""
    encoder, fast = PairEncoder(), []
    for each in pairs:
        span = encoder.span(*each)
        fast.append(span is not None)
        assert span in (None, span_of_pair(*each))
    return fast


def test_the_second_of_a_kind_and_all_that_follow_take_the_fast_road() -> None:
    assert [False, True, True] == made(pair(0), pair(1), pair(2, took=5_000_000_000))


@pytest.mark.parametrize("flags", [SAMPLED, SAMPLED | PARENT_REMOTE, SAMPLED | NESTED | IS_RUN])
@pytest.mark.parametrize("parent", [0, 9])
def test_phases_of_every_sort_have_forms_of_their_own(flags: int, parent: int) -> None:
    kinds = [pair(number, flags=flags, parent=parent) for number in range(3)]
    failed = [
        pair(number, end={**END, "outcome": "failure", "reason": "100 %b", "error_type": "E"}) for number in (4, 5)
    ]
    assert [False, True, True, False, True] == made(*kinds, *failed)


def test_attributes_may_differ_from_phase_to_phase() -> None:
    def one(number: int) -> tuple[bytes, bytes]:
        said = {"path": f"src/{number}", "n": number, "deep": [number, None, {"start": number}], "%b": "%s"}
        return pair(number, {**START, "attributes": {"tool": f"ruff {number}"}}, {**END, "attributes": said})

    assert [False, True, True, True] == made(*(one(number) for number in range(4)))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param({"attributes": {"a": 1}}, {"attributes": {"a": 2}}, id="an attribute set again"),
        pytest.param({}, {"attributes": {"cicd.pipeline.task.name": "mine"}}, id="an attribute of ours set"),
        pytest.param({"start": BEGAN - 5}, {}, id="a start that knows better when it began"),
        pytest.param({}, {"payload": {"attributes": {"a": 1}}, "attributes": {"b": 1}}, id="attributes twice"),
        pytest.param({}, {"events": [[BEGAN, "hit", {}]], "attributes": {"a": 1}}, id="span events"),
        pytest.param({"run": None}, {}, id="no run id, so the trace's"),
        pytest.param({}, {"attributes": {"ä": "ö"}, "dropped": [1, 2, 3]}, id="dropped"),
        pytest.param({}, {"attributes": {f"key {n}": "x" * 50 for n in range(200)}}, id="a long one"),
        pytest.param({"name": "otel_workflow.gap.start"}, {"attributes": {"otel_workflow.gap.end": 1}}, id="our gaps"),
    ],
)
def test_unusual_phases_have_the_ordinary_bytes(start: dict[str, Any], end: dict[str, Any]) -> None:
    made(*(pair(number, {**START, **start}, {**END, **end}) for number in range(4)))


@pytest.mark.parametrize("took", [0, -10, -BEGAN])
def test_a_clock_that_stepped_back_goes_the_ordinary_way(took: int) -> None:
    assert [False, False, False] == made(*(pair(number, took=took - 2 * number) for number in range(3)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"name":1,"start":%d,"x":1}',
        b'{"name":"a","start":%d.5,"x":1}',
        b'{"name":"a","start":0%d,"x":1}',
    ],
)
def test_what_does_not_parse_never_takes_the_fast_road(text: bytes) -> None:
    encoder = PairEncoder()
    for number in range(3):
        start, end = pair(number)
        bad = end[: EVENT_HEAD.size] + (text % (BEGAN // 10) if b"%d" in text else text)
        assert encoder.span(start, bad) is None
        with pytest.raises(DecodeError):
            span_of_pair(start, bad)


_TEXTS = st.sampled_from(
    ["", "a", '"start":', ',"start":1700000000000000000,', '"attributes":{', "%b", "ü\n", "\ud800"]
) | st.text(max_size=5)
_VALUES = st.recursive(
    _TEXTS | st.integers(-(2**70), 2**70) | st.booleans() | st.floats() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_OBJECTS = st.dictionaries(_TEXTS | st.sampled_from(["start", "attributes", "name", "error.type"]), _VALUES, max_size=3)
_BODIES = st.fixed_dictionaries(
    {"name": _TEXTS},
    optional={
        "run": _TEXTS,
        "workflow": _TEXTS,
        "subject": _TEXTS,
        "payload": _OBJECTS,
        "start": st.integers(BEGAN, BEGAN + 10**6),
        "outcome": st.sampled_from(["success", "failure", "skip", "error", None]),
        "reason": _TEXTS,
        "error_type": _TEXTS,
        "handed": st.booleans(),
        "attributes": _OBJECTS,
        "inferred": st.booleans(),
        "tracestate": st.sampled_from(["", "a=1"]),
        "detail": _TEXTS,
        "task_type": _TEXTS,
        "attempt": st.integers(0, 3),
        "status_ok": st.booleans(),
        "events": st.lists(st.tuples(st.integers(0, 2**63), _TEXTS, _OBJECTS), max_size=2),
        "parent_phase": st.just("ab" * 8),
    },
)


@given(
    _BODIES, _BODIES, st.lists(_OBJECTS, min_size=2, max_size=4), st.randoms(use_true_random=False), st.integers(0, 31)
)
def test_fast_is_slow_for_any_two_records_whatever_their_keys_and_their_order(
    start: dict[str, Any], end: dict[str, Any], attributes: list[dict[str, Any]], rolled: Any, flags: int
) -> None:
    encoder = PairEncoder()
    keys = rolled.sample(list(end), len(end))
    for number, each in enumerate((attributes[0], *attributes)):
        began, took = BEGAN + rolled.randrange(10**6), rolled.choice([1, 10**3, 10**9, -1, 0])
        said = {**{key: end[key] for key in keys}, **({"attributes": each} if "attributes" in end else {})}
        said.update({"start": began} if "start" in end else {})
        ids = rolled.randbytes(24) + rolled.choice([bytes(8), rolled.randbytes(8)])
        records = [
            EVENT_HEAD.pack(VERSION, transition, flags, 0, ids[:16], ids[16:24], ids[24:], time_ns, number)
            + dumps(body).encode()
            for transition, time_ns, body in ((1, began, start), (rolled.choice([5, 6, 7, 8]), began + took, said))
        ]
        span = encoder.span(*records)
        if span is not None:
            assert span_of_pair(*records) == span, json.dumps([start, said])


def test_what_is_remembered_is_bounded() -> None:
    encoder = PairEncoder()
    for number in range(5_000):
        encoder.span(*pair(number, {**START, "name": f"phase {number // 2}"}))
    assert max(len(encoder._bodies), len(encoder._forms), len(encoder._once)) <= 2048


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param({"a": 1}, {"cicd.pipeline.task.name": "mine"}, id="ours at the end"),
        pytest.param({"cicd.pipeline.run.id": "mine"}, {"b": 1}, id="ours at the start"),
        pytest.param({"a": 1}, {"a": 2}, id="set again"),
    ],
)
def test_a_known_form_is_passed_over_where_one_attribute_replaces_another(
    start: dict[str, Any], end: dict[str, Any]
) -> None:
    usual = [pair(number, {**START, "attributes": {"a": 1}}, {**END, "attributes": {"b": number}}) for number in (0, 1)]
    assert [False, True, False] == made(*usual, pair(2, {**START, "attributes": start}, {**END, "attributes": end}))
