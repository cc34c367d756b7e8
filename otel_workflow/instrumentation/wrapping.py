"""Wraps functions of every kind in a scope, so that each keeps its kind.

A generator's phase is current only while the generator runs, never in the code that consumes it:
each step runs in the generator's own context.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from opentelemetry.context import attach, get_current

from otel_workflow.instrumentation.context import inside

__all__ = ("wrap",)

P = ParamSpec("P")
R = TypeVar("R")
Opening = Callable[[], AbstractContextManager[Any]]


def wrap(fn: Callable[P, R], opening: Opening) -> Callable[P, R]:
    """Return the function with a new phase around every call."""
    if isinstance(fn, staticmethod | classmethod):
        return cast("Callable[P, R]", type(fn)(wrap(fn.__func__, opening)))
    if inspect.isasyncgenfunction(fn):
        return cast("Callable[P, R]", _async_generator(fn, opening))
    if inspect.iscoroutinefunction(fn):
        return cast("Callable[P, R]", _coroutine(fn, opening))
    if inspect.isgeneratorfunction(fn):
        return cast("Callable[P, R]", _generator(fn, opening))
    return _function(fn, opening)


def _function(fn: Callable[P, R], opening: Opening) -> Callable[P, R]:
    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with opening():
            return fn(*args, **kwargs)

    return call


def _coroutine(fn: Callable[..., Any], opening: Opening) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with opening():
            return await fn(*args, **kwargs)

    return call


def _generator(fn: Callable[..., Any], opening: Opening) -> Callable[..., Any]:
    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        outside = get_current()
        with opening():
            steps = _Steps(fn(*args, **kwargs))
            attach(outside)
            return (yield from steps)

    return call


class _Steps(Generator[Any, Any, Any]):
    """A generator that runs each of its steps in its own context."""

    def __init__(self, inner: Generator[Any, Any, Any]) -> None:
        self._inner = inner
        self._held = [get_current()]

    def send(self, value: Any) -> Any:
        with inside(self._held):
            return self._inner.send(value)

    def throw(self, kind: Any, value: Any = None, stack: TracebackType | None = None, /) -> Any:
        error = value if value is not None else kind
        with inside(self._held):
            return self._inner.throw(error)

    def close(self) -> None:
        with inside(self._held):
            self._inner.close()


class _Caught:
    """Keeps what is thrown into a generator at its ``yield``, to be thrown into the inner one."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, stack: object, /) -> bool:
        self.error = error
        return True


def _async_generator(fn: Callable[..., Any], opening: Opening) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        outside = get_current()
        with opening():
            inner: AsyncGenerator[Any, Any] = fn(*args, **kwargs)
            held = [get_current()]
            attach(outside)
            step, argument = inner.asend, None
            while True:
                try:
                    with inside(held):
                        item = await step(argument)
                except StopAsyncIteration:
                    return
                sent: Any = None
                with _Caught() as caught:
                    sent = yield item
                if isinstance(caught.error, GeneratorExit):
                    with inside(held):
                        await inner.aclose()
                    raise caught.error
                step, argument = (inner.asend, sent) if caught.error is None else (inner.athrow, caught.error)

    return call
