"""What ``phase(...)`` and ``workflow(...)`` return: a context manager and a decorator in one.

Each entry and each call is a new phase, so one scope may serve many threads and tasks at once.
Entering and leaving are synchronous even under ``async with``: an ``await`` on the way out would
lose the end when the task is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from otel_workflow.guard import guarded
from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.lifecycle import begin, finish
from otel_workflow.instrumentation.phases import INERT, INERT_RUN, Phase
from otel_workflow.instrumentation.recorder import active
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.instrumentation.wrapping import wrap

__all__ = ("Scope",)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Phase, covariant=True)  # noqa: PLC0105 - the name that users see


class Scope(Generic[S]):
    """Opens a phase at entry, ends it at exit; as a decorator it does so around every call."""

    __slots__ = ("_definition", "_is_run", "_open")

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
        opened: Phase = guarded(INERT_RUN if self._is_run else INERT, begin, spec, recorder)
        self._open.append(opened)
        return opened  # type: ignore[return-value]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
        /,
    ) -> None:
        if self._open:
            guarded(None, finish, self._innermost(), error)

    def _innermost(self) -> Phase:
        """The phase of this scope that encloses the caller; the newest one if none does."""
        opened, found = self._open, current()
        while found is not None:
            if found in opened:
                opened.remove(found)
                return found  # type: ignore[no-any-return]
            found = found._outer
        return opened.pop()

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
