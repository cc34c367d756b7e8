"""What ``phase(...)`` and ``workflow(...)`` return: a context manager and a decorator in one.

Each entry and each call is a new phase, so one scope may serve many threads and tasks at once.
Entering and leaving are synchronous even under ``async with``: an ``await`` on the way out would
lose the end when the task is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from otel_workflow.guard import completed
from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.lifecycle import abandon, finish, finish_again, prepare, start
from otel_workflow.instrumentation.phases import INERT, INERT_RUN, Phase
from otel_workflow.instrumentation.recorder import Recorder, active
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.instrumentation.wrapping import wrap

__all__ = ("Scope",)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Phase, covariant=True)  # noqa: PLC0105 - the name that users see


class Scope(Generic[S]):
    """Opens a phase at entry, ends it at exit; as a decorator it does so around every call."""

    __slots__ = ("__weakref__", "_attributes", "_definition", "_first", "_others")

    def __init__(self, definition: Spec | tuple[Any, ...], attributes: Mapping[str, Any] | None) -> None:
        self._definition = definition
        self._attributes = attributes
        self._first: Phase | None = None
        self._others: list[Phase] | None = None

    def _defined(self) -> Spec:
        """The definition; made of its arguments at first need, so that an inert scope costs nothing."""
        if isinstance(self._definition, tuple):
            self._definition = Spec(*self._definition)
        return self._definition

    # -- what is open -----------------------------------------------------------------------------
    # Between a look and the store behind it nothing is called: nobody comes in between.

    def _hold(self, phase: Phase) -> None:
        phase._holder = self
        if self._first is None:
            self._first = phase
            return
        if self._others is None:
            self._others = []
        self._others.append(phase)

    def _drop(self, phase: Phase) -> None:
        phase._holder = None
        if self._first is phase:
            self._first = None
        elif self._others is not None and phase in self._others:
            self._others.remove(phase)

    @property
    def _has_several(self) -> bool:
        """True if it ever had more than one phase open at once."""
        return self._others is not None

    def _count(self) -> int:
        """Return how many phases it has open."""
        return (self._first is not None) + len(self._others or ())

    def _innermost(self) -> Phase | None:
        """The phase of this scope that encloses the caller; the newest one if none does."""
        if not self._others:
            return self._first
        opened = [*self._others] if self._first is None else [self._first, *self._others]
        found = current()
        while found is not None:
            if found in opened:
                return found  # type: ignore[no-any-return]
            found = found._outer
        return opened[-1]

    # -- entry and exit -----------------------------------------------------------------------------

    def __enter__(self) -> S:
        recorder = active()
        definition = self._definition
        if recorder is None:
            is_run = definition[1] if isinstance(definition, tuple) else definition.is_run
            return cast("S", INERT_RUN if is_run else INERT)
        spec = definition if isinstance(definition, Spec) else self._defined()
        return completed(INERT_RUN if spec.is_run else INERT, _open, _abandon, self, recorder, [])  # type: ignore[return-value]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
        /,
    ) -> None:
        if self._first is not None or self._others:
            completed(None, _end, _end_again, self, error, [])

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
        spec, attributes = self._defined(), self._attributes

        def opening() -> Scope[Any]:
            return Scope(spec, attributes)

        return wrap(fn, opening)


def _open(scope: Scope[Any], recorder: Recorder, made: list[Phase]) -> Phase:
    """Open a phase; ``made`` keeps it, should this be broken off."""
    spec: Any = scope._definition  # made by now
    phase = prepare(spec, scope._attributes, recorder)
    made.append(phase)
    scope._hold(phase)
    start(phase)
    return phase


def _abandon(broken: BaseException, scope: Scope[Any], _recorder: Recorder, made: list[Phase]) -> None:
    for phase in made:
        abandon(phase, broken)
        scope._drop(phase)


def _end(scope: Scope[Any], error: BaseException | None, found: list[Phase]) -> None:
    """End the innermost phase of a scope; ``found`` keeps which one that is."""
    phase = scope._innermost() if scope._others else scope._first
    if phase is not None:
        found.append(phase)
        finish(phase, error)
        scope._drop(phase)


def _end_again(_broken: BaseException, scope: Scope[Any], error: BaseException | None, found: list[Phase]) -> None:
    """Do what is left of an end that was broken off."""
    phase = found[0] if found else scope._innermost()
    if phase is not None:
        finish_again(phase, error)
        scope._drop(phase)
