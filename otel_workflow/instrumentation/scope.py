"""What ``phase(...)`` and ``workflow(...)`` return: a context manager and a decorator in one.

Each entry and each call is a new phase, so one scope may serve many threads and tasks at once.
Entering and leaving are synchronous even under ``async with``: an ``await`` on the way out would
lose the end when the task is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from otel_workflow.guard import completed, guarded
from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.lifecycle import abandon, finish, finish_again, prepare, start
from otel_workflow.instrumentation.phases import INERT, INERT_RUN, Phase
from otel_workflow.instrumentation.recorder import active
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.instrumentation.wrapping import wrap

__all__ = ("Scope",)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Phase, covariant=True)  # noqa: PLC0105 - the name that users see


def _innermost(opened: list[Phase]) -> Phase:
    """The phase of a scope that encloses the caller; the newest one if none does."""
    found = current()
    while found is not None:
        if found in opened:
            return found  # type: ignore[no-any-return]
        found = found._outer
    return opened[-1]


def _end(opened: list[Phase], error: BaseException | None, found: list[Phase]) -> None:
    """End the innermost phase of a scope; ``found`` keeps which one that is."""
    phase = opened[0] if len(opened) == 1 else _innermost(opened)
    found.append(phase)
    finish(phase, error)
    opened.remove(phase)


def _end_again(_broken: BaseException, opened: list[Phase], error: BaseException | None, found: list[Phase]) -> None:
    """Do what is left of an end that was broken off."""
    phase = found[0] if found else _innermost(opened)
    finish_again(phase, error)
    if phase in opened:
        opened.remove(phase)


class Scope(Generic[S]):
    """Opens a phase at entry, ends it at exit; as a decorator it does so around every call."""

    __slots__ = ("__weakref__", "_definition", "_is_run", "_open")

    def __init__(self, is_run: bool, definition: Spec | tuple[Any, ...]) -> None:
        self._is_run = is_run
        self._definition = definition
        self._open: list[Phase] = []

    def _defined(self) -> Spec:
        """The definition; made of its arguments at first need, so that an inert scope costs nothing."""
        if isinstance(self._definition, tuple):
            self._definition = Spec(*self._definition)
        return self._definition

    def __enter__(self) -> S:
        recorder = active()
        if recorder is None:
            return cast("S", INERT_RUN if self._is_run else INERT)
        spec = self._definition
        if isinstance(spec, tuple):
            spec = self._defined()
        inert = INERT_RUN if self._is_run else INERT
        phase = guarded(inert, prepare, spec, recorder)
        return completed(inert, start, abandon, phase, self._open, self)  # type: ignore[return-value]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
        /,
    ) -> None:
        if self._open:
            completed(None, _end, _end_again, self._open, error, [])

    async def __aenter__(self) -> S:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
        /,
    ) -> None:
        self.__exit__(kind, error, stack)

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """Decorate a function, coroutine, generator or async generator; it keeps its kind."""
        is_run, spec = self._is_run, self._defined()

        def opening() -> Scope[Any]:
            return Scope(is_run, spec)

        return wrap(fn, opening)
