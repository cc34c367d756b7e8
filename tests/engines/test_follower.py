"""The thread that takes an engine's events: bounded, in order, and gone when it has nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.engines import follower as module
from otel_workflow.engines.follower import Follower
from otel_workflow.events import Event
from otel_workflow.report import load_runs
from otel_workflow.testing import capture_workflow


def event(number: int, event_type: str = "a.started") -> Event:
    """One event of its own step."""
    return Event(str(number), event_type, "engine", 1_700_000_000_000_000_000 + number, payload={"step_id": number})


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Iterator[Follower]:
    """One that goes to sleep early."""
    monkeypatch.setattr(module, "IDLE", 0.02)
    made = Follower()
    yield made
    made.flush()


def test_events_are_taken_in_order(follower: Follower) -> None:
    """Also when the thread has ended in between."""
    with capture_workflow() as captured:
        for number in range(1, 41):
            follower.put(event(number))
            if number % 10 == 0:
                time.sleep(0.05)
        assert follower.flush()

    assert list(range(1, 41)) == [each.payload["step_id"] for each in captured.events]


def test_an_idle_follower_has_no_thread(follower: Follower) -> None:
    with capture_workflow():
        follower.put(event(1))
        assert follower.flush()
    end = time.monotonic() + 5
    while follower._thread is not None and time.monotonic() < end:
        time.sleep(0.005)
    assert follower._thread is None


def test_many_threads_may_put(follower: Follower) -> None:
    """Nothing is lost while the thread comes and goes."""
    with capture_workflow() as captured:
        threads = [
            threading.Thread(target=lambda n=n: [follower.put(event(n * 1000 + i)) for i in range(200)])  # type: ignore[misc]
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert follower.flush()

    assert 1600 == len(captured.events)


def test_what_cannot_wait_is_counted(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    monkeypatch.setattr(follower, "_take", lambda *said: go.wait(5))
    with capture_workflow():
        for number in range(1, 11):
            follower.put(event(number))
        assert 6 <= follower.dropped <= 7
        go.set()
    follower.dropped = 0  # else it says so at the end


def test_flush_says_when_it_was_in_vain(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(follower, "_take", lambda *said: go.wait(5))
    assert follower.flush()
    with capture_workflow():
        follower.put(event(1))
        assert not follower.flush(0.02)
        go.set()
        assert follower.flush()


def test_where_nothing_records_there_is_no_thread(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "active", lambda: None)
    follower.put(event(1))
    assert follower._thread is None


PROGRAM = """
import otel_workflow as ow
from otel_workflow.engines.follower import Follower
from otel_workflow.events import Event
follower = Follower()
follower.put(Event("0", "lost.started", "engine", 1, payload={}))
follower.flush()
ow.configure()
for n in range(1, 501):
    follower.put(Event(str(n), "a.started", "engine", 1_700_000_000_000_000_000 + n, payload={"step_id": n}))
"""


def test_the_end_of_the_process_waits_for_what_was_said_last(tmp_path: Path) -> None:
    """Also when the first event came before ``configure()``."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OW_JOURNAL": str(tmp_path)}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert 500 == len(load_runs(tmp_path))
