"""The estimate of an event's bytes is cheap, and right within a factor."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from otel_workflow.bus.weight import weigh
from otel_workflow.events import Event, PhaseFacts


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"name": "lint", "attempt": 1},
        {"text": "x" * 10_000},
        {"lines": [f"{n:100}" for n in range(1000)]},
        {"attributes": {f"key {n}": n * 1.5 for n in range(50)}},
        {"raw": b"x" * 5000},
    ],
    ids=["empty", "small", "text", "list", "nested", "bytes"],
)
def test_the_estimate_is_neither_far_too_low_nor_far_too_high(payload: dict[str, Any]) -> None:
    tracemalloc.start()
    events = [
        Event(f"id {n}", "a.b", "test", n + 10**18, payload=pickle.loads(pickle.dumps(payload)), headers={"n": n})
        for n in range(50)
    ]
    used = tracemalloc.get_traced_memory()[0] / 50
    tracemalloc.stop()
    assert 0.7 * used <= weigh(events[0]) <= 4 * used


def test_a_long_list_is_only_sampled() -> None:
    event = Event("1", "a.b", "test", 1, payload={"numbers": list(range(1_000_000))})
    steps: Counter[str] = Counter()

    sys.setprofile(lambda frame, happened, _: steps.update((happened,)))
    try:
        size = weigh(event)
    finally:
        sys.setprofile(None)

    assert steps.total() < 1000  # calls and returns of functions, C's too
    assert size > 8_000_000


def test_headers_and_the_facts_of_a_phase_weigh_too() -> None:
    bare = Event("1", "a.b", "test", 1)
    with_headers = Event("1", "a.b", "test", 1, headers={"log": "x" * 10_000})
    with_facts = Event("1", "a.b", "test", 1, facts=PhaseFacts("lint", 1, attributes={"log": "x" * 10_000}))

    assert weigh(bare) + 10_000 <= weigh(with_headers) <= weigh(bare) + 11_000
    assert weigh(bare) + 10_000 <= weigh(with_facts) <= weigh(bare) + 11_000
