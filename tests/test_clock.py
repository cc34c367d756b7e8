"""Positions follow the wall clock, durations never; a drift takes a new anchor."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow import clock as clocks
from otel_workflow.clock import DRIFT_NS, SystemClock

HOUR = 3_600_000_000_000


class Hands:
    """Two clocks that a test moves; reading takes ``cost`` ns, as does being stopped once by ``stop``."""

    def __init__(self) -> None:
        self.wall, self.mono, self.cost, self.stops = 1_700_000_000_000_000_000, 5_000_000_000, 0, 0

    def time_ns(self) -> int:
        self.pass_by(self.cost + self.stops)
        self.stops = 0
        return self.wall

    def monotonic_ns(self) -> int:
        self.pass_by(self.cost)
        return self.mono

    def pass_by(self, count: int) -> None:
        self.wall += count
        self.mono += count


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hands]:
    made = Hands()
    with monkeypatch.context() as patched:
        patched.setattr(clocks, "time", made)
        yield made


def test_both_times_advance_together(hands: Hands) -> None:
    clock = SystemClock()
    assert (hands.wall, hands.mono) == clock.now()
    hands.pass_by(HOUR)
    assert (hands.wall, hands.mono) == clock.now()
    assert 1 == clock.anchors


@pytest.mark.parametrize("step", [DRIFT_NS + 1, -DRIFT_NS - 1, HOUR, -HOUR])
def test_a_drift_of_more_than_fifty_milliseconds_takes_a_new_anchor(hands: Hands, step: int) -> None:
    clock = SystemClock()
    _, before = clock.now()
    hands.wall += step
    hands.pass_by(7)
    wall, mono = clock.now()
    assert (hands.wall, 2, 7) == (wall, clock.anchors, mono - before)
    clock.now()
    assert 2 == clock.anchors


def test_who_records_is_told_of_a_new_anchor_and_of_nothing_else(hands: Hands) -> None:
    clock, told = SystemClock(), list[tuple[int, int]]()
    clock.moved = lambda offset, by: told.append((offset, by))
    clock.now()
    hands.wall += HOUR
    clock.now()
    clock.now()
    assert [(hands.wall - hands.mono, HOUR)] == told


@pytest.mark.parametrize("step", [DRIFT_NS, -DRIFT_NS, 1_000_000])
def test_a_smaller_one_is_no_reason(hands: Hands, step: int) -> None:
    clock = SystemClock()
    before, _ = clock.now()
    hands.wall += step
    assert (before, 1) == (clock.now()[0], clock.anchors)


def test_a_thread_that_was_stopped_between_the_two_clocks_takes_no_anchor(hands: Hands) -> None:
    clock = SystemClock()
    before = clock.offset
    hands.stops = 10 * DRIFT_NS
    clock.now()
    assert (before, 1) == (clock.offset, clock.anchors)


def test_an_anchor_is_taken_from_the_closest_of_three_readings(hands: Hands) -> None:
    hands.stops = 10 * DRIFT_NS
    clock = SystemClock()
    assert hands.wall - hands.mono == clock.offset


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, HOUR), st.integers(-HOUR, HOUR)), max_size=20))
def test_durations_are_never_negative_however_the_wall_clock_is_stepped(moves: list[tuple[int, int]]) -> None:
    hands = Hands()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clocks, "time", hands)
        clock = SystemClock()
        _, last = clock.now()
        for elapsed, step in moves:
            hands.pass_by(elapsed)
            hands.wall += step
            wall, mono = clock.now()
            assert elapsed == mono - last
            assert abs(wall - hands.wall) <= DRIFT_NS
            last = mono


def test_threads_that_see_the_same_drift_correct_it_once(hands: Hands) -> None:
    clock, before = SystemClock(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    hands.wall += HOUR
    workers = [threading.Thread(target=clock.now) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.setswitchinterval(before)
    assert hands.wall - hands.mono == clock.offset


def test_the_machines_own_clocks_agree_with_it() -> None:
    import time

    clock = SystemClock()
    wall, mono = clock.now()
    assert abs(time.time_ns() - wall) < 10 * DRIFT_NS
    assert time.monotonic_ns() >= mono
