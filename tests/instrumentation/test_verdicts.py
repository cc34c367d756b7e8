"""Every row of the table of verdicts (FACE §2), and what is handed up."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from opentelemetry.trace import Status, StatusCode

import otel_workflow as ow
from otel_workflow.masking import texts
from otel_workflow.testing import Captured, ManualClock, capture_workflow


class Broken(Exception):
    """An exception of a user's own."""


def last(captured: Captured) -> dict[str, Any]:
    """Return what the captured phase named ``work`` says of its end."""
    (span,) = [span for span in captured.spans if span["name"] == "work"]
    attributes = span["attributes"]
    return {
        "event": span["events"][-1][1],
        "result": attributes["cicd.pipeline.task.run.result"],
        "status": span["status"],
        "error.type": attributes.get("error.type"),
        "reason": attributes.get("otel_workflow.reason"),
    }


def raising(error: BaseException) -> Callable[[ow.Phase], None]:
    """Return a block that raises."""

    def block(_: ow.Phase) -> None:
        raise error

    return block


HERE = f"{__name__}.Broken"

ROWS: list[tuple[str, Callable[[ow.Phase], Any], tuple[str, str, str, str | None, str | None]]] = [
    ("block ends", lambda p: None, ("completed", "success", "UNSET", None, None)),
    ("exception", raising(ValueError("no")), ("failed", "failure", "ERROR", "ValueError", "ValueError: no")),
    ("own exception", raising(Broken()), ("failed", "failure", "ERROR", HERE, "Broken")),
    ("fail", lambda p: p.fail("2 files"), ("failed", "failure", "ERROR", "_OTHER", "2 files")),
    ("fail typed", lambda p: p.fail("x", error_type="syntax"), ("failed", "failure", "ERROR", "syntax", "x")),
    (
        "set_status",
        lambda p: p.span.set_status(Status(StatusCode.ERROR, "bad")),
        ("failed", "failure", "ERROR", "_OTHER", "bad"),
    ),
    ("exit 3", raising(SystemExit(3)), ("failed", "failure", "ERROR", "_OTHER", "exit 3")),
    ("exit text", raising(SystemExit("why")), ("failed", "failure", "ERROR", "_OTHER", "exit why")),
    ("exit 0", raising(SystemExit(0)), ("completed", "success", "UNSET", None, None)),
    ("exit", raising(SystemExit()), ("completed", "success", "UNSET", None, None)),
    ("error", lambda p: p.error("disk"), ("failed", "error", "ERROR", "_OTHER", "disk")),
    ("timeout", raising(TimeoutError("5 s")), ("failed", "timeout", "ERROR", "timeout", "TimeoutError: 5 s")),
    (
        "keyboard",
        raising(KeyboardInterrupt()),
        ("cancelled", "cancellation", "UNSET", None, "interrupted from the keyboard"),
    ),
    ("asyncio", raising(asyncio.CancelledError()), ("cancelled", "cancellation", "UNSET", None, "cancelled")),
    ("cancel", lambda p: p.cancel("stop"), ("cancelled", "cancellation", "UNSET", None, "stop")),
    ("skip", lambda p: p.skip("none"), ("skipped", "skip", "UNSET", None, "none")),
    (
        "group of cancellations",
        raising(BaseExceptionGroup("g", [asyncio.CancelledError()])),
        ("cancelled", "cancellation", "UNSET", None, "cancelled"),
    ),
]


@pytest.mark.parametrize(("block", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_block_ends_as_the_table_says(block: Callable[[ow.Phase], Any], expected: tuple[Any, ...]) -> None:
    """Transition, outcome, status, error.type and reason of each row."""
    with capture_workflow() as captured:
        with suppress(BaseException), ow.phase("work") as phase:
            block(phase)
    transition, result, status, error_type, reason = expected

    assert {
        "event": f"phase.{transition}",
        "result": result,
        "status": status,
        "error.type": error_type,
        "reason": reason,
    } == last(captured)


@pytest.mark.parametrize("mark", ["fail", "error", "skip", "cancel"])
def test_a_mark_never_raises_and_never_leaves_the_block(mark: str) -> None:
    """What follows a mark is still run."""
    with capture_workflow(), ow.phase("work") as phase:
        getattr(phase, mark)("why")
        reached = True

    assert reached


def test_the_last_mark_wins() -> None:
    """A phase that failed and was then skipped is skipped."""
    with capture_workflow() as captured, ow.phase("work") as phase:
        phase.fail("first")
        phase.skip("second")

    assert {"result": "skip", "reason": "second"} == {k: last(captured)[k] for k in ("result", "reason")}


@pytest.mark.parametrize("mark", ["skip", "cancel"])
def test_an_exception_outranks_a_mark_of_peace(mark: str) -> None:
    """Skip and cancel do not hide what went wrong afterwards."""
    with capture_workflow() as captured, pytest.raises(ValueError, match="late"), ow.phase("work") as phase:
        getattr(phase, mark)("early")
        raise ValueError("late")

    assert ("failure", "ValueError: late") == (last(captured)["result"], last(captured)["reason"])


def test_an_exception_keeps_an_earlier_reason() -> None:
    """The reason that was given is better than the exception's; its class is taken."""
    with capture_workflow() as captured, pytest.raises(ValueError, match="2"), ow.phase("work") as phase:
        phase.fail("2 files do not parse")
        raise ValueError("2")

    assert ("2 files do not parse", "ValueError") == (last(captured)["reason"], last(captured)["error.type"])


def test_an_exception_is_recorded_once_where_it_was_raised() -> None:
    """Enclosing phases carry the verdict, not a second copy of the stack."""
    with capture_workflow() as captured, pytest.raises(ValueError, match="x"), ow.workflow("w"), ow.phase("outer"):
        with ow.phase("inner"):
            raise ValueError("x")

    names = {span["name"]: [name for _, name in span["events"]] for span in captured.spans}
    assert {
        "RUN w": ["workflow.started", "workflow.failed"],
        "outer": ["phase.started", "phase.failed"],
        "inner": ["phase.started", "exception", "phase.failed"],
    } == names


def test_a_failure_without_an_exception_is_handed_up() -> None:
    """The run fails with the phase, and the reason is shown where it was given."""
    clock = ManualClock()
    with capture_workflow(clock=clock) as captured, ow.workflow("nightly"):
        clock.advance(3)
        with ow.phase("compile") as phase:
            clock.advance(1)
            phase.fail("2 files do not parse")

    assert "nightly failure 4s\n  compile failure 1s: 2 files do not parse" == captured.tree()


def test_a_handed_failure_says_on_the_root_where_it_came_from() -> None:
    """The root's status names the phase, so that a search result explains itself."""
    with capture_workflow() as captured, ow.workflow("w"), ow.phase("a"), ow.phase("b") as phase:
        phase.error("disk full", error_type="enospc")

    root = captured.spans[0]
    assert ("error", "enospc", "a: b: disk full") == (
        root["attributes"]["cicd.pipeline.result"],
        root["attributes"]["error.type"],
        root["message"],
    )


def test_a_phase_that_may_fail_hands_nothing_up() -> None:
    """allow_failure keeps the mark to itself."""
    with capture_workflow() as captured, ow.workflow("w"):
        with ow.phase("flaky", allow_failure=True) as phase:
            phase.fail("known")

    assert "w success 0s\n  flaky failure 0s: known" == captured.tree()


def test_a_verdict_of_its_own_outranks_what_was_handed_up() -> None:
    """An enclosing phase that marks itself keeps its mark."""
    with capture_workflow() as captured, ow.workflow("w"), ow.phase("outer") as outer:
        with ow.phase("inner") as inner:
            inner.fail("x")
        outer.skip("decided")

    assert "w success 0s\n  outer skip 0s: decided\n    inner failure 0s: x" == captured.tree()


def test_a_retry_that_succeeded_takes_the_failure_back() -> None:
    """Attempt 2 of the same phase makes the run succeed."""
    with capture_workflow() as captured, ow.workflow("w"):
        for attempt in (1, 2):
            with ow.phase("test", attempt=attempt) as phase:
                if attempt == 1:
                    phase.fail("flaky")

    assert "success" == captured.spans[0]["attributes"]["cicd.pipeline.result"]


def test_a_caught_exception_is_handled() -> None:
    """An exception travels as Python does; caught, it does not fail what encloses it."""
    with capture_workflow() as captured, ow.workflow("w"):
        try:
            with ow.phase("inner"):
                raise ValueError("x")
        except ValueError:
            pass

    assert "w success 0s\n  inner failure 0s: ValueError: x" == captured.tree()


def test_a_cancelled_asyncio_task_is_cancelled_not_failed() -> None:
    """The end is recorded although the task is torn down."""

    async def main() -> None:
        async def work() -> None:
            async with ow.phase("work"):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with capture_workflow() as captured:
        asyncio.run(main())

    assert "cancellation" == last(captured)["result"]


def test_a_cancelled_trio_scope_is_cancelled_not_failed() -> None:
    """The same on trio."""

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with ow.phase("work"):
                scope.cancel()
                await trio.lowlevel.checkpoint()

    with capture_workflow() as captured:
        trio.run(main)

    assert "cancellation" == last(captured)["result"]


def test_a_closed_generator_is_cancelled() -> None:
    """A consumer that stops early closes the phase; it did not fail."""

    @ow.phase("work")
    def numbers() -> Iterator[int]:
        yield from range(3)

    with capture_workflow() as captured:
        for number in (made := numbers()):
            if number == 1:
                break
        made.close()  # type: ignore[attr-defined]

    assert ("cancellation", "closed before its end") == (last(captured)["result"], last(captured)["reason"])


def test_a_hostile_reason_never_raises() -> None:
    """Marks take anything."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with capture_workflow() as captured, ow.phase("work") as phase:
        phase.fail(Hostile())  # type: ignore[arg-type]

    assert "<Hostile: str() raised RuntimeError>" == last(captured)["reason"]


def test_a_registered_secret_is_masked_in_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons, attributes, events and stack traces carry *** in its place."""
    secret = "hunter2-hunter2"
    monkeypatch.setattr(texts, "_registry", type(texts._registry)())
    ow.mask(secret)
    with capture_workflow() as captured, pytest.raises(ValueError, match="hunter"):
        with ow.phase("work", attributes={"a": secret}) as phase:
            phase.set_attribute("b", f"x{secret}")
            phase.span.add_event("note", {"c": secret})
            raise ValueError(secret)

    assert secret not in repr(captured.events)
