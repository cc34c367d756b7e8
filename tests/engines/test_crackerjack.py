"""The adapter follows crackerjack's bus and changes nothing about it."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import otel_workflow as ow
from otel_workflow.engines import crackerjack
from otel_workflow.engines.follower import Follower
from otel_workflow.testing import capture_workflow
from tests.engines.standin import LiveObject, event


def test_every_bus_is_followed_those_made_before_and_after(module: Any) -> None:
    """crackerjack makes two, at times that are its own business."""
    before = module.WorkflowEventBus()
    with capture_workflow() as captured:
        crackerjack.attach()
        after = module.WorkflowEventBus()
        before.publish("workflow.started", workflow_id="w")
        after.publish("hooks.strategy.started", strategy="fast")
        before.publish("hooks.strategy.completed", strategy="fast")
        after.publish("workflow.completed", workflow_id="w")
        assert crackerjack.flush()

    assert "w success 0s\n  fast success 0s" == captured.tree()


def test_a_second_attach_changes_nothing(module: Any) -> None:
    """Each event is recorded once."""
    with capture_workflow() as captured:
        crackerjack.attach()
        crackerjack.attach()
        module.WorkflowEventBus().publish("workflow.started")
        crackerjack.flush()

    assert ["workflow.started"] == [each.type for each in captured.events]


def test_detach_leaves_the_class_as_it_was(module: Any) -> None:
    """And may be taken back."""
    original = module.WorkflowEventBus._collect_subscriptions
    with capture_workflow() as captured:
        crackerjack.attach()
        assert original is not module.WorkflowEventBus._collect_subscriptions
        crackerjack.detach()
        assert original is module.WorkflowEventBus._collect_subscriptions
        module.WorkflowEventBus().publish("a.started")
        crackerjack.attach()
        module.WorkflowEventBus().publish("b.started")
        crackerjack.flush()

    assert ["b.started"] == [each.type for each in captured.events]


def test_somebody_who_wrapped_us_keeps_what_they_have(module: Any) -> None:
    """Then our part stays in the chain and is silent, and a second attach counts nothing twice."""
    cls = module.WorkflowEventBus
    with capture_workflow() as captured:
        crackerjack.attach()
        inner = cls._collect_subscriptions
        cls._collect_subscriptions = lambda self, event: inner(self, event)  # noqa: PLW0108 - a wrapper of somebody's
        crackerjack.detach()
        cls().publish("a.started")
        crackerjack.attach()
        cls().publish("b.started")
        crackerjack.flush()

    assert ["b.started"] == [each.type for each in captured.events]


def test_the_engine_gets_its_results_and_its_exceptions(module: Any) -> None:
    """No subscription appears, and nothing of ours is in the way."""
    crackerjack.attach()
    bus = module.WorkflowEventBus()
    bus.handlers = [lambda made: None]
    assert 1 == bus.publish("a.started")

    def broken(made: Any) -> None:
        raise LookupError("the engine's own")

    bus.handlers = [broken]
    with pytest.raises(LookupError, match="the engine's own"):
        bus.publish("a.started")


@pytest.mark.parametrize("strange", [None, 7, "text", object()])
def test_an_event_that_cannot_be_read_never_raises_into_the_engine(module: Any, strange: object) -> None:
    crackerjack.attach()
    assert 0 == module.WorkflowEventBus().dispatch(strange)
    assert crackerjack.flush()


def test_publishing_only_enqueues(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the journal stands still, the engine goes on."""
    go = threading.Event()
    monkeypatch.setattr(Follower, "_take", lambda *said: go.wait(10))
    with capture_workflow():
        crackerjack.attach()
        bus = module.WorkflowEventBus()
        began = time.monotonic()
        for _ in range(100):
            bus.publish("a.started", options=LiveObject())
        assert time.monotonic() - began < 1
        go.set()
        assert crackerjack.flush()


def test_what_the_engine_does_belongs_to_the_run_around_it(module: Any) -> None:
    """An event is taken in the context it was published in."""
    with capture_workflow() as captured:
        crackerjack.attach()
        with ow.workflow("ci"), ow.phase("check"):
            module.WorkflowEventBus().publish("workflow.started", workflow_id="fast")
            module.WorkflowEventBus().publish("workflow.completed", workflow_id="fast")
            crackerjack.flush()

    assert "ci success 0s\n  check success 0s\n    fast success 0s" == captured.tree()


def test_our_subscribers_hear_what_crackerjack_says(module: Any) -> None:
    """With plain payloads."""
    seen: list[ow.Event] = []
    with capture_workflow(), ow.get_bus().subscribe("hooks.*", seen.append):
        crackerjack.attach()
        module.WorkflowEventBus().publish("hooks.strategy.started", strategy="fast", options=LiveObject())
        crackerjack.flush()
        end = time.monotonic() + 5
        while not seen and time.monotonic() < end:
            time.sleep(0.005)

    assert [("hooks.strategy.started", "crackerjack.workflow", {"strategy": "fast"})] == [
        (each.type, each.source, dict(each.payload)) for each in seen
    ]


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine in another time zone."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_naive_timestamp_is_local_time(far_away: None) -> None:
    """Auckland is 13 hours ahead in November."""
    made = event("a.started", timestamp=datetime(2025, 11, 5, 10, 15, 30, 123456))  # noqa: DTZ001
    expected = datetime(2025, 11, 4, 21, 15, 30, 123456, tzinfo=UTC)
    assert round(expected.timestamp() * 1_000_000) * 1000 == crackerjack.event_of(made).time_ns


def test_an_aware_timestamp_is_what_it_says(far_away: None) -> None:
    made = event("a.started", timestamp=datetime(2025, 11, 4, 21, 15, 30, 0, tzinfo=UTC))
    assert 1762290930_000000000 == crackerjack.event_of(made).time_ns


def test_an_event_keeps_its_own_time_however_late_it_is_read(module: Any) -> None:
    """The original's loop is blocked by synchronous work for half a minute at a time."""
    with capture_workflow() as captured:
        crackerjack.attach()
        bus = module.WorkflowEventBus()
        bus.dispatch(event("a.started", {"step_id": "1"}, datetime(2025, 11, 5, 10, 0, 0)))  # noqa: DTZ001
        bus.dispatch(event("a.completed", {"step_id": "1", "duration": 2.0}, datetime(2025, 11, 5, 10, 0, 37)))  # noqa: DTZ001
        crackerjack.flush()

    [span] = captured.spans
    assert 37 == span["end"] - span["start"]
    assert "reported 2.000 s, observed 37.000 s" == span["attributes"]["otel_workflow.contradiction"]


def test_live_objects_stay_with_the_engine(module: Any) -> None:
    """What is plain inside them is kept, under dotted keys."""
    payload = {
        "options": LiveObject(),
        "context": {"options": LiveObject(), "fast": True},
        "summary": {"counts": {"failed": 11}, "total": 15},
        "error": ValueError("no disk"),
        "files": ["a.py", LiveObject()],
        "nothing": None,
    }
    assert {
        "context.fast": True,
        "summary.counts.failed": 11,
        "summary.total": 15,
        "error": "no disk",
        "files": ["a.py"],
    } == crackerjack.event_of(event("a.started", payload)).payload


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_records_its_own(module: Any, tmp_path: Path) -> None:
    """The thread is not there after a fork; another one begins."""
    with capture_workflow() as captured:
        crackerjack.attach()
        bus = module.WorkflowEventBus()
        bus.publish("a.started", step_id="1")
        crackerjack.flush()
        time.sleep(0.6)  # the thread ends when it is idle: forking beside threads is a warning
        child = os.fork()
        if child == 0:
            bus.publish("b.started", step_id="2")
            done = crackerjack.flush() and captured.events[-1].type == "b.started"
            os._exit(0 if done else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        bus.publish("c.started", step_id="3")
        crackerjack.flush()

    assert ["a.started", "c.started"] == [each.type for each in captured.events]
