"""Row: 429/503 + Retry-After (0, date, 3,600, garbage): wait as told within bounds, drop nothing."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from otel_workflow.testing import OtlpReceiver, Reply
from tests.faults.conftest import SPANS, Line

ASKED = {
    "0": (lambda: 0, 0.5, 1.0),
    "3600": (lambda: 3600, 899, 900),
    "date": (lambda: formatdate(time() + 60, usegmt=True), 50, 60),
    "a date long ago": (lambda: formatdate(0, usegmt=True), 0.5, 1.0),
    "garbage": (lambda: "soon", 0.01, 30),
    "negative": (lambda: "-5", 0.01, 30),
    "nothing": (lambda: None, 0.01, 30),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", ASKED)
def test_429_and_503_with_retry_after_are_waited_for_within_bounds_and_nothing_is_dropped(
    status: int, asked: str, receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    value, least, most = ASKED[asked]
    receiver.script(Reply(status, retry_after=value()))
    line = line_to(receiver.endpoint)
    assert not line.ship()
    assert least <= line.pause <= most
    assert not line.ship()
    assert 1 == len(receiver.received)  # it was not asked again before its time
    line.clock.ahead = most + 1
    assert line.ship()
    assert f"{SPANS} emitted = {SPANS} delivered + 0 spooled + 0 dropped" == str(receiver.check_identity(journal))
    assert SPANS == len(receiver.spans)


def test_a_backend_that_stays_busy_is_asked_ever_more_rarely(
    receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    receiver.script(*[503] * 10)
    line = line_to(receiver.endpoint)
    pauses = []
    for _ in range(10):
        assert not line.ship()
        pauses.append(line.pause)
        line.clock.ahead += line.pause + 0.01
    doubled = [min(0.5 * 2**number, 30.0) for number in range(10)]
    assert [] == [pause for pause, most in zip(pauses, doubled, strict=True) if not most * 0.75 - 0.2 <= pause <= most]
    assert line.ship()
    receiver.check_identity(journal)


def test_shippers_that_failed_together_do_not_try_again_together(
    receiver: OtlpReceiver, recorded: Path, tmp_path: Path
) -> None:
    """Row: collector flapping: no thundering herd (jitter)."""
    from tests.endtoend.shipping import copied

    receiver.script(*[503] * 8)
    pauses = set()
    for number in range(8):
        line = Line(copied(recorded, tmp_path / str(number)), receiver.endpoint)
        line.shipper._monotonic = lambda: 1000.0
        line.shipper.drain(line.sources(), 1e9, force=True)
        pauses.add(line.shipper.not_before)
        line.release()
    assert len(pauses) > 1
