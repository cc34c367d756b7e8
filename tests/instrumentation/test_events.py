"""Starts, ends and reports are bus events and span events alike, with the same names."""

import os
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

import otel_workflow as ow
from otel_workflow.guard import guarded
from otel_workflow.testing import ManualClock, capture_workflow


def test_start_and_end_are_events_with_times_and_durations() -> None:
    """Payloads carry what the seed's did, and more."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured, ow.phase("lint", payload={"step_id": "s1"}):
        clock.advance(2.5)

    started, completed = captured.events
    begin = clock.start_ns / 1e9
    assert ("phase.started", {"name": "lint", "attempt": 1, "timestamp": begin, "step_id": "s1"}) == (
        started.type,
        dict(started.payload),
    )
    expected = {
        "name": "lint",
        "attempt": 1,
        "timestamp": begin + 2.5,
        "duration": 2.5,
        "success": True,
        "step_id": "s1",
    }
    assert ("phase.completed", expected) == (completed.type, dict(completed.payload))


def test_the_subject_of_the_events_can_be_chosen() -> None:
    """``event=`` gives the seed's names."""
    with capture_workflow() as captured, ow.phase("fast", event="hooks.strategy", payload={"strategy": "fast"}) as p:
        p.fail("3 hooks")

    assert ["hooks.strategy.started", "hooks.strategy.failed"] == [event.type for event in captured.events]
    assert "3 hooks" == captured.events[-1].payload["error"]


def test_span_events_are_the_bus_events() -> None:
    """One vocabulary on the span and on the bus."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured, ow.workflow("w"), ow.phase("p") as phase:
        phase.progress(1, 2, "half")
        clock.advance(1)

    assert [(0, "phase.started"), (0, "phase.progress"), (1, "phase.completed")] == captured.spans[1]["events"]


def test_progress_is_reported_ten_times_a_second_and_the_last_is_kept() -> None:
    """Of a thousand reports in one instant the first and the last are recorded."""
    with capture_workflow() as captured, ow.phase("copy") as phase:
        for done in range(1000):
            phase.progress(done, 999)

    reports = [event.payload["done"] for event in captured.events if event.type == "phase.progress"]
    assert [0, 999] == reports


def test_a_subscriber_gets_live_what_is_journalled() -> None:
    """The event of the bus and the event read back are equal."""
    seen: list[Any] = []
    done = threading.Event()

    def handler(event: ow.Event) -> None:
        seen.append(event)
        if event.type.endswith("completed"):
            done.set()

    with capture_workflow() as captured, ow.get_bus().subscribe("phase.*", handler):
        with ow.phase("p"):
            pass
        assert done.wait(10)

    assert list(captured.events) == seen


def test_a_phase_in_a_bare_thread_joins_the_only_open_run() -> None:
    """And says that its parent was inferred."""
    with capture_workflow() as captured, ow.workflow("w"):
        thread = threading.Thread(target=lambda: ow.phase("p").__enter__() and None)
        thread.start()
        thread.join()
        started = captured.events[1]

    assert (True, 1) == (started.facts and started.facts.inferred, int(started.span.parent_span_id or "0", 16))  # type: ignore[union-attr]


def test_two_open_runs_are_never_guessed_between() -> None:
    """A bare thread's phase is then a root of its own."""
    with capture_workflow() as captured, ow.workflow("a"):

        def other() -> None:
            with ow.workflow("b"):
                thread = threading.Thread(target=lambda: ow.phase("p").__enter__() and None)
                thread.start()
                thread.join()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    (event,) = [e for e in captured.events if e.payload["name"] == "p"]
    assert event.span is not None
    assert event.span.parent_span_id is None


def test_a_run_inside_a_run_is_a_phase_of_it() -> None:
    """The outermost one is the run; the inner one is internal and keeps the run's id."""
    with capture_workflow() as captured, ow.workflow("outer", run_id="r1"), ow.workflow("inner", run_id="r2"):
        pass

    assert [("RUN outer", "SERVER", "r1"), ("inner", "INTERNAL", "r1")] == [
        (span["name"], span["kind"], span["attributes"]["cicd.pipeline.run.id"]) for span in captured.spans
    ]


def test_a_child_environment_names_parent_and_workflow_and_nothing_else() -> None:
    """The mapping given is copied, not changed."""
    mine = {"A": "1"}
    with capture_workflow(), ow.workflow("w") as run:
        made = run.child_env(mine)

    expected = {"A": "1", "TRACEPARENT": f"00-{run.trace_id}-{run.span_id}-01", "OW_WORKFLOW": "w"}
    assert (expected, {"A": "1"}) == (made, mine)


def test_a_forked_child_walking_out_of_a_block_does_not_end_it() -> None:
    """The phase belongs to the process that opened it."""
    with capture_workflow() as captured:
        with ow.phase("p"):
            child = os.fork()
            if child == 0:
                os._exit(0 if len(captured.events) <= 1 else 1)
            assert 0 == os.waitpid(child, 0)[1]

    assert ["phase.started", "phase.completed"] == [event.type for event in captured.events]


@pytest.mark.parametrize("module", ["asyncio", "trio", "signal"])
def test_a_module_that_another_thread_is_just_importing_costs_no_phase(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in sys.modules before its names are there; so does what a guard looks up when something breaks."""
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    with capture_workflow() as captured, ow.phase("p"):
        assert 0 == guarded(0, lambda: 1 // 0)

    assert ["phase.started", "phase.completed"] == [event.type for event in captured.events]


def test_hostile_values_cost_no_other_attribute() -> None:
    """NaN, huge integers, bytes, surrogates, recursion and a raising __str__ are all taken."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    recursive: list[Any] = []
    recursive.append(recursive)
    with capture_workflow() as captured, ow.phase("p") as phase:
        for key, value in {
            "nan": float("nan"),
            "big": 2**70,
            "bytes": b"\xff\x00",
            "surrogate": "\udc80",
            "recursive": recursive,
            "hostile": Hostile(),
            "long": "x" * 10_000_000,
            "good": 1,
        }.items():
            phase.set_attribute(key, value)  # type: ignore[arg-type]

    attributes = captured.spans[0]["attributes"]
    long = attributes.pop("long")
    assert (16_384, 1, "nan", str(2**70), "\\xff\x00", "\\udc80") == (
        len(long.partition("…")[0]),
        attributes["good"],
        attributes["nan"],
        attributes["big"],
        attributes["bytes"],
        attributes["surrogate"],
    )
