"""What happened between start and end: the first and the last are kept, the middle is counted, in any order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_workflow import between as module
from otel_workflow.between import KEPT, Between, order_of
from otel_workflow.events import Event

TYPES = ("phase.progress", "phase.retrying", "phase.queued", "cache.hit")


def event(number: int, at: int, type_: str = "phase.progress", note: str = "") -> Event:
    return Event(id=f"e{number}", type=type_, source="test", time_ns=at, payload={"note": note})


def of(events: list[Event]) -> Between:
    made = Between()
    for each in events:
        made.add(each)
    return made


def rendered(made: Between) -> tuple[object, ...]:
    return list(made), len(made), made.hidden, made.retries, made.queued_ns, made.latest_ns, made.report


events = st.builds(event, st.integers(0, 9), st.integers(1, 40), st.sampled_from(TYPES), st.sampled_from(["", "x"]))


@given(st.lists(events, max_size=40), st.randoms(use_true_random=False))
def test_any_order_and_repetition_keeps_the_same_events_and_counts(said: list[Event], rolled: random.Random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "KEPT", 6)
        again = [*said, *rolled.choices(said, k=len(said))] if said else []
        rolled.shuffle(again)
        made = of(again)
        assert rendered(of(said)) == rendered(made)

    best = {order: min((e for e in said if order_of(e) == order), key=repr) for order in map(order_of, said)}
    whole = [best[order] for order in sorted(best)]
    expected = whole if len(whole) <= 6 else whole[:3] + whole[-3:]
    assert (expected, len(whole)) == (list(made), len(made))
    assert sum(each.type == "phase.retrying" for each in whole) == made.retries
    reports = [each for each in whole if each.type == "phase.progress"]
    assert (reports[-1] if reports else None) == made.report


def test_a_day_of_reports_leaves_a_bounded_number_of_events_in_memory() -> None:
    made = of([event(number, number + 1) for number in range(10_000)])
    ids = [*range(KEPT // 2), *range(10_000 - KEPT // 2, 10_000)]
    assert [f"e{number}" for number in ids] == [each.id for each in made]
    assert (10_000, 10_000 - KEPT) == (len(made), made.hidden)
