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


def test_a_run_of_its_own_for_every_phase_is_no_reason_to_go_the_ordinary_way() -> None:
    def one(number: int, run: str) -> tuple[bytes, bytes]:
        said = {"run": run}
        return pair(number, {**START, **said}, {**END, **said, "attributes": {"n": number}}, parent=0)

    traces = [one(number, (number + 1).to_bytes(16, "big").hex()) for number in range(4)]
    named = [one(number, f"nightly/{number:04} ~!") for number in range(4)]
    assert [False, True, True, True] * 2 == made(*traces, *named)


def test_a_phase_that_names_no_run_takes_the_fast_road_too() -> None:
    start, end = ({key: value for key, value in said.items() if key != "run"} for said in (START, END))
    assert [False, True, True] == made(*(pair(number, start, end, parent=0) for number in range(3)))


@pytest.mark.parametrize(
    "run", ["0123456789abcde\x01", "0123456789ab\\", '01234567"89ab', "ünd so weiter", "\x02", "%b%b%b%b"]
)
def test_a_run_id_of_any_letters_has_the_ordinary_bytes(run: str) -> None:
    usual = [pair(number, {**START, "run": "a" * len(run)}, {**END, "run": "a" * len(run)}) for number in range(3)]
    made(*usual, *(pair(number, {**START, "run": run}, {**END, "run": run}) for number in range(3, 6)))


def test_a_start_and_an_end_of_different_runs_go_the_ordinary_way() -> None:
    usual = [pair(number, {**START, "run": "first run"}, {**END, "run": "first run"}) for number in range(2)]
    mixed = [pair(number, {**START, "run": "first run"}, {**END, "run": "other run"}) for number in range(2, 5)]
    assert [False, True, False, False, False] == made(*usual, *mixed)


def test_attributes_that_no_span_shows_do_not_get_into_one() -> None:
    def one(number: int, hidden: dict[str, Any]) -> tuple[bytes, bytes]:
        return pair(number, END | {"start": None}, {**END, "payload": {"attributes": hidden}})

    made(one(0, {}), one(1, {}), one(2, {"a": 1}), one(3, {"a": {"b": 2}}))


def test_a_known_kind_of_end_that_goes_on_otherwise_has_the_ordinary_bytes() -> None:
    usual = [pair(number, START, {**END, "attributes": {"n": number}}) for number in range(3)]
    others = [
        pair(3, START, END),
        pair(4, START, {**END, "attributes": {}}),
        pair(5, START, {**END, "attributes": {"n": "ü"}}),
        pair(6, START, {**END, "attributes": {"n": 1}, "status_ok": True}),
        pair(7, START, {**END, "outcome": "failure", "attributes": {"n": 1}}, transition="failed"),
        pair(8, START, {**END, "attributes": {"n": 1}}, flags=SAMPLED | PARENT_REMOTE),
        pair(9, START, {**END, "attributes": {"n": 1}}, parent=0),
        pair(10, START, {**END, "attributes": {"n": 1}}),
    ]
    fast = made(*usual, *others)
    assert ([False, True, True], True) == (fast[:3], fast[-1])


def test_an_end_that_was_cut_off_in_its_time_goes_the_ordinary_way() -> None:
    encoder = PairEncoder()
    for number in range(3):
        start, end = pair(number)
        assert (number > 0) is (encoder.span(start, end) is not None)
    for length in range(EVENT_HEAD.size + 1, len(end)):
        assert encoder.span(start, end[:length]) is None


def test_times_that_do_not_go_forward_spoil_no_form() -> None:
    back = [pair(number, took=-5_000) for number in range(3)]
    assert [False, False, False, False, True, True] == made(*back, *(pair(number) for number in range(3, 6)))


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
_RUNS = st.sampled_from(["0123456789abcdef", "fedcba9876543210"])
_BODIES = st.fixed_dictionaries(
    {"name": _TEXTS},
    optional={
        "run": _TEXTS | _RUNS,
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
        said = {"name": f"phase {number // 2}"}
        encoder.span(*pair(number, {**START, **said}, {**END, **said}))
        encoder.span(*pair(number, START, {**END, "attributes": {"n": number}}))
    for kept, most in (("_bodies", 512), ("_said", 512), ("_trails", 2048), ("_forms", 2048), ("_once", 2048)):
        assert 0 < len(getattr(encoder, kept)) <= most


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
