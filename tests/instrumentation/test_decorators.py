"""A decorated thing keeps its kind, and its phase lasts as long as its work."""

import asyncio
import inspect
import pickle
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace

import otel_workflow as ow
from otel_workflow.testing import capture_workflow


@ow.phase
def plain(x: int) -> int:
    """Say what it does."""
    return x + 1


@ow.phase("named", type="test")
async def coroutine(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@ow.phase
def numbers(count: int) -> Iterator[int]:
    for number in range(count):
        with ow.phase(f"item {number}"):
            yield number


@ow.phase
async def async_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        with ow.phase(f"item {number}"):
            yield number


@ow.workflow
def nightly() -> str:
    return ow.current_phase().name


class Gate:
    """Methods of every kind."""

    @ow.phase
    def method(self) -> str:
        return "m"

    @ow.phase
    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @ow.phase
    @staticmethod
    def static() -> str:
        return "s"


def test_a_decorated_function_keeps_name_docstring_and_signature() -> None:
    """It looks as it did."""
    assert ("plain", "Say what it does.", "(x: int) -> int") == (
        plain.__name__,
        plain.__doc__,
        str(inspect.signature(plain)),
    )


def test_a_decorated_thing_keeps_its_kind() -> None:
    """A coroutine function stays one, and so do generators."""
    assert [True, True, True, False] == [
        inspect.iscoroutinefunction(coroutine),
        inspect.isgeneratorfunction(numbers),
        inspect.isasyncgenfunction(async_numbers),
        inspect.iscoroutinefunction(plain),
    ]


def test_a_decorated_function_pickles() -> None:
    """It can be sent to a pool."""
    assert plain is pickle.loads(pickle.dumps(plain))


def test_each_call_is_a_new_phase() -> None:
    """Two calls are two spans with ids of their own."""
    with capture_workflow() as captured:
        assert [2, 3] == [plain(1), plain(2)]

    assert [("plain", 1), ("plain", 2)] == [(span["name"], span["id"]) for span in captured.spans]


def test_a_coroutine_is_a_phase_until_it_returns() -> None:
    """Name and type come from the decorator."""
    with capture_workflow() as captured:
        assert 2 == asyncio.run(coroutine(1))

    (span,) = captured.spans
    assert ("named", "test") == (span["name"], span["attributes"]["cicd.pipeline.task.type"])


def test_a_workflow_decorates_a_function() -> None:
    """Its name is the function's, and inside it is the current phase."""
    with capture_workflow() as captured:
        assert "nightly" == nightly()

    assert "RUN nightly" == captured.spans[0]["name"]


def test_methods_of_every_kind_are_phases() -> None:
    """Also below classmethod and staticmethod."""
    with capture_workflow() as captured:
        assert ["m", "Gate", "s"] == [Gate().method(), Gate.of_class(), Gate.static()]

    assert ["method", "of_class", "static"] == [span["name"] for span in captured.spans]


def test_a_generator_is_current_only_while_it_runs() -> None:
    """What the consumer does between two items is not inside the generator's phase."""
    with capture_workflow() as captured, ow.workflow("w"):
        for number in numbers(2):
            with ow.phase(f"use {number}"):
                pass

    expected = "w success 0s\n  numbers success 0s\n    item 0 success 0s\n    item 1 success 0s\n"
    assert expected + "  use 0 success 0s\n  use 1 success 0s" == captured.tree()


def test_a_generator_passes_send_throw_and_its_return_value_through() -> None:
    """The generator protocol is kept whole."""

    @ow.phase
    def echo() -> Iterator[object]:
        try:
            got = yield "first"
            yield got
        except KeyError as error:
            yield f"caught {error}"
        return "done"

    def drive() -> Iterator[object]:
        result = yield from echo()  # type: ignore[func-returns-value]
        yield result

    with capture_workflow():
        made = drive()
        assert ["first", "sent"] == [next(made), made.send("sent")]  # type: ignore[attr-defined]
        assert "caught 'k'" == made.throw(KeyError("k"))  # type: ignore[attr-defined]
        assert "done" == next(made)


def test_an_async_generator_is_current_only_while_it_runs() -> None:
    """The same for async generators."""

    async def main() -> None:
        with ow.workflow("w"):
            async for number in async_numbers(2):
                with ow.phase(f"use {number}"):
                    pass

    with capture_workflow() as captured:
        asyncio.run(main())

    expected = "w success 0s\n  async_numbers success 0s\n    item 0 success 0s\n    item 1 success 0s\n"
    assert expected + "  use 0 success 0s\n  use 1 success 0s" == captured.tree()


def test_leaving_an_async_generator_early_never_adopts_later_phases() -> None:
    """After ``break`` the next phase is a child of the run, whoever closes the generator when."""

    async def main() -> None:
        with ow.workflow("w"):
            async for _ in async_numbers(5):
                break
            with ow.phase("next"):
                assert "next" == ow.current_phase().name

    with capture_workflow() as captured:
        asyncio.run(main())

    parents = {span["name"]: span["parent"] for span in captured.spans}
    assert 1 == parents["next"]


def test_an_exception_thrown_into_an_async_generator_reaches_its_body() -> None:
    """athrow is forwarded, and the phase fails with it."""
    seen = []

    @ow.phase("work")
    async def work() -> AsyncIterator[int]:
        try:
            yield 1
        except ValueError as error:
            seen.append(str(error))
            raise

    async def main() -> None:
        made = work()
        await anext(made)
        with pytest.raises(ValueError, match="in"):
            await made.athrow(ValueError("in"))  # type: ignore[attr-defined]

    with capture_workflow() as captured:
        asyncio.run(main())

    assert (["in"], "failure") == (seen, captured.spans[0]["attributes"]["cicd.pipeline.task.run.result"])


def test_one_scope_serves_many_threads_and_tasks_at_once() -> None:
    """A scope may be kept and entered again, also inside itself."""
    scope = ow.phase("lint")
    with capture_workflow() as captured, ow.workflow("w"), scope, scope:
        pass

    assert "w success 0s\n  lint success 0s\n    lint success 0s" == captured.tree()


def test_concurrent_tasks_of_one_scope_end_their_own_phases() -> None:
    """Tasks that leave in another order than they entered each end what they began."""
    scope = ow.phase("step")

    async def step(mine: asyncio.Event, other: asyncio.Event, mark: bool) -> None:
        async with scope as phase:
            other.set()
            await mine.wait()
            if mark:
                phase.fail("marked")

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            one = group.create_task(step(first, asyncio.Event(), mark=True))
            await asyncio.sleep(0)
            group.create_task(step(second, first, mark=False))
            await one
            second.set()

    with capture_workflow() as captured:
        asyncio.run(main())

    assert ["failure", "success"] == [s["attributes"]["cicd.pipeline.task.run.result"] for s in captured.spans]


def test_a_phase_is_the_current_span_of_opentelemetry() -> None:
    """Libraries find it, and it is whole."""
    with capture_workflow(), ow.phase("work", attributes={"a": 1}) as phase:
        span = trace.get_current_span()
        assert span is phase.span
        assert (True, "work", {"a": 1}) == (span.is_recording(), span.name, dict(span.attributes))  # type: ignore[attr-defined]

    assert not span.is_recording()
