"""Whatever a user hands over: it is journalled, bounded, and nothing is raised."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.values import MAX_ITEMS, MAX_TEXT, MAX_TOTAL, clean_attributes, clean_text, clean_value

LONGEST = 6 * MAX_TEXT + 100  # every character written as an escape, and what says that it was cut


class Hostile:
    """Raises whenever it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError("no class")


class HostileText(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def isascii(self) -> bool:
        raise RuntimeError("no answer")


class HostileInt(int):
    def __int__(self) -> int:
        raise RuntimeError("no number")

    __str__ = __repr__ = lambda self: "a lie"


class HostileFloat(float):
    def __float__(self) -> float:
        raise RuntimeError("no number")


class HostileDict(dict[Any, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")

    keys = values = __iter__ = items


class Endless(list[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class EndlessMapping(dict[str, Any]):
    def items(self) -> Any:
        return (("key", None) for _ in iter(int, 1))


class Colour(str, Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


def recursive() -> list[Any]:
    ring: list[Any] = [1]
    ring += [ring, {"again": ring}]
    return ring


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = [
    *(None, True, 0, -1, 2**63 - 1, -(2**63), 2**63, 2**70, 10**5000, -(10**5000), 1.5, math.nan, math.inf, -math.inf),
    *("", "x", "\udc80\ud800", "\0\x1b[31m", "ü" * 50_000, "x" * 10_000_000, "\udcff" * 50_000),
    *(b"", b"\xff\x00", bytearray(b"abc"), memoryview(b"abc"), b"\xff" * 10_000_000, memoryview(bytes(64)).cast("I")),
    *([], (), set(), frozenset({1}), [1, 2], [1, "a", None], {"a": 1}, OrderedDict(a=[1, {"b": b"c"}]), deque([1])),
    *(recursive(), deep(5_000), list(range(1_000_000)), {str(n): n for n in range(100_000)}, ["x" * 20_000] * 1_000),
    *({"k" * 10_000_000: "v" * 10_000_000}, [["x" * 20_000] * 500] * 500, {Hostile: Hostile()}, [Hostile()] * 3),
    *(Hostile(), HostileText("text"), HostileInt(7), HostileFloat(1.5), HostileDict(a=1), Endless([1]), Colour.RED),
    *(Level.HIGH, object(), int, Hostile, len, (n for n in range(9)), 1j, MappingProxyType({"a": 1}), range(10**9)),
]


def is_clean(value: Any) -> bool:
    """True for what OTLP and JSON can carry and what keeps to the bounds."""
    if isinstance(value, list):
        kinds = {type(item) for item in value if item is not None}
        text = sum(len(item) for item in value if isinstance(item, str))
        return len(value) <= MAX_ITEMS and len(kinds) <= 1 and list not in kinds and text <= 2 * LONGEST
    if type(value) is str:
        value.encode()
        return len(value) <= LONGEST
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) is bool


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_any_hostile_value_becomes_a_clean_one_in_little_time(number: int) -> None:
    value, began = HOSTILE[number], time.process_time()
    made = clean_value(value)
    assert is_clean(made)
    assert time.process_time() - began < 1.0
    json.dumps(made, allow_nan=False)
    assert is_clean(clean_attributes({"key": value}).get("key"))


RUDE = [Hostile(), HostileText("x"), HostileInt(1), HostileFloat(2.0), Colour.RED, object()]
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=20), st.complex_numbers()),
    st.text(st.characters(), max_size=20),
    st.integers(0, 5).map(lambda number: RUDE[number]),  # not sampled_from, which would look at them
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=5),
        st.dictionaries(st.text(max_size=5), inner, max_size=5).map(HostileDict),
    ),
    max_leaves=30,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_any_value_becomes_a_clean_one_that_stays_as_it_is(value: object) -> None:
    made = clean_value(value)
    assert is_clean(made)
    assert made == clean_value(made)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.one_of(st.text(), st.integers(), st.binary(), st.none()), VALUES, max_size=200))
def test_any_attributes_become_clean_ones(attributes: dict[Any, object]) -> None:
    made = clean_attributes(attributes)
    assert len(made) <= MAX_ITEMS
    assert {True} >= {type(key) is str and 0 < len(key) <= 2_000 and is_clean(value) for key, value in made.items()}
    assert None not in made.values()


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("x", "x"),
        (2**70, str(2**70)),
        (10**5000, "an integer of 16610 bits"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (b"abc\xff", "abc\\xff"),
        ("\udc80", "\\udc80"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (HostileText("past it"), "past it"),
        (HostileInt(7), 7),
        (HostileFloat(1.5), 1.5),
        ([1, 2, None], [1, 2, None]),
        ([1, "a", True], ["1", "a", "True"]),
        ((1.5, 2.5), [1.5, 2.5]),
        ([[1, 2], {"a": 1}], ["[1, 2]", "{a: 1}"]),
        ({"a": [1, {"b": None}]}, "{a: [1, {b: None}]}"),
        ([[[[[[1]]]]]], ["[[[…]]]"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_keep_what_can_be_kept(value: object, made: object) -> None:
    assert made == clean_value(value)


def test_a_value_without_text_says_why() -> None:
    assert "<Hostile: str() raised RuntimeError>" == clean_value(Hostile())


def test_what_holds_itself_is_followed_a_few_levels() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    assert ["1", "[1, [1, […, …]]]"] == clean_value(ring)


def test_what_is_cut_says_so() -> None:
    assert "xxx… (10 characters)" == clean_text("x" * 10, 3)
    assert clean_value("x" * 20_000).endswith("… (20000 characters)")


def test_keys_are_cut_none_is_left_out_and_too_many_are_not_kept() -> None:
    made = clean_attributes({"k" * 1_000: 1, "": 2, "none": None, 5: "five", b"b": 6})
    assert {"k" * 256 + "… (1000 characters)": 1, "5": "five", "b'b'": 6} == made
    assert MAX_ITEMS == len(clean_attributes({str(number): number for number in range(1_000)}))


def test_all_attributes_together_stay_small_enough_for_one_record() -> None:
    made = clean_attributes({str(number): ["x" * MAX_TEXT] * 50 for number in range(MAX_ITEMS)})
    assert MAX_ITEMS == len(made)
    assert len(json.dumps(made)) < 2 * MAX_TOTAL


def test_what_is_no_mapping_or_cannot_be_read_gives_nothing() -> None:
    strangers: list[Any] = [None, {}, Hostile(), HostileDict(a=1), EndlessMapping(), 5, "text", [("a", 1)]]
    assert [{}] * len(strangers) == [clean_attributes(stranger) for stranger in strangers]


def test_a_mapping_that_breaks_in_the_middle_gives_what_could_be_read() -> None:
    class Breaking(dict[str, Any]):
        def items(self) -> Any:
            yield "first", 1
            raise RuntimeError("no more")

    assert {"first": 1} == clean_attributes(Breaking())


def test_one_bad_value_costs_only_itself() -> None:
    class Released:
        pass

    view = memoryview(bytearray(b"abc"))
    view.release()
    assert {"a": 1, "bad": "<unreadable>", "z": 2} == clean_attributes({"a": 1, "bad": view, "z": 2})
