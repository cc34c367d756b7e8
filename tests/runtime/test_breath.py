"""The delivery works in slices, and the program has the time between them."""

from __future__ import annotations

import pytest

from otel_workflow.runtime.breath import PAUSE, SLICE, Breath


class Time:
    """A clock that goes only where somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 5.0
        self.slept = list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def worked(time: Time, breath: Breath, seconds: float) -> list[float]:
    """Work for so long in steps of 10 us; returns the stretches without a sleep."""
    stretches, since = list[float](), time.now
    for _ in range(round(seconds / 1e-5)):
        time.now += 1e-5
        before = len(time.slept)
        began = time.now
        breath()
        if len(time.slept) > before:
            stretches.append(began - since)
            since = time.now
    return stretches


def test_no_stretch_of_work_is_longer_than_a_slice() -> None:
    time = Time()
    stretches = worked(time, Breath(time, time.sleep), 0.01)
    assert 30 < len(stretches)
    assert max(stretches) <= SLICE + 2e-5


def test_the_program_has_most_of_the_time() -> None:
    time = Time()
    worked(time, Breath(time, time.sleep), 0.01)
    assert sum(time.slept) == pytest.approx(0.01 * PAUSE / SLICE, rel=0.1)
    assert sum(time.slept) > 2 * 0.01


def test_in_haste_it_lets_go_as_often_but_does_not_linger() -> None:
    time = Time()
    breath = Breath(time, time.sleep)
    breath.in_haste = True
    stretches = worked(time, breath, 0.01)
    assert max(stretches) <= SLICE + 2e-5
    assert sum(time.slept) < 0.01 / 100
