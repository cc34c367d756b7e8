"""Which phase is current: kept in OTel's own context, so every library's propagation carries it.

A context is put back by value, never by token: a token belongs to the task that made it, and a
generator may be closed by another one. An ended phase is never left current in the task that
entered it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as _api
from opentelemetry.context import Context, create_key
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace.propagation import _SPAN_KEY

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

__all__ = ("PhaseContext", "current", "enter", "inside", "leave", "span_context", "surroundings", "task_key")


class CurrentPhase(Protocol):
    """What the context needs to know of a phase."""

    _end_ns: int | None
    _task: int
    _previous: Context
    _span: Span | None

    @property
    def span(self) -> Span:
        """Its span."""
        ...


_PHASE_KEY = create_key("otel-workflow-phase")
_where: Any = getattr(_api, "_RUNTIME_CONTEXT", _api)
_variable: Any = getattr(_where, "_current_context", None)
_is_direct = _where.__class__ is ContextVarsRuntimeContext and _variable.__class__ is ContextVar
attach: Callable[[Context], object] = _variable.set if _is_direct else _where.attach
get_current: Callable[[], Context] = _variable.get if _is_direct else _where.get_current
"""What the API's functions of these names end up in; a phase needs them four times."""


class PhaseContext(Context):
    """The context of a phase: the one before it with the phase and its span, without a copy of it.

    OpenTelemetry asks a context for one key and copies it to change it. So this one answers from the
    phase, is empty as a dict, and everything else is asked of a copy that is made for it.
    """

    __slots__ = ("phase",)

    def __init__(self, phase: CurrentPhase) -> None:
        self.phase = phase

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; the span is made when somebody asks for it."""
        if key == _SPAN_KEY:
            return self.phase.span
        if key == _PHASE_KEY:
            return self.phase
        return self._below().get(key, default)

    def _below(self) -> Context:
        """Return the innermost context that is no phase's: only that one has keys of others."""
        found = self.phase._previous
        while type(found) is PhaseContext:
            found = found.phase._previous
        return found

    def copy(self) -> dict[str, object]:
        """Return all of it as a plain dict."""
        return {**self._below(), _PHASE_KEY: self.phase, _SPAN_KEY: self.phase.span}

    def __getitem__(self, key: str) -> object:
        return self.copy()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __eq__(self, other: object) -> bool:
        return self is other or self.copy() == (other.copy() if type(other) is PhaseContext else other)

    __hash__ = None  # type: ignore[assignment]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return Context, (self.copy(),)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return the keys, as of now."""
        return self.copy().keys()

    def values(self) -> ValuesView[object]:  # type: ignore[override]
        """Return the values, as of now."""
        return self.copy().values()

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]
        """Return keys and values, as of now."""
        return self.copy().items()


def current() -> Any:
    """Return the phase of the current context, or None."""
    return get_current().get(_PHASE_KEY)


def task_key() -> int:
    """Return a number for the running task, or for the thread where there is no task."""
    asyncio: Any = sys.modules.get("asyncio")
    # While another thread is importing asyncio, its names are not all there yet.
    running = getattr(asyncio, "_get_running_loop", None)
    if running is not None and (loop := running()) is not None:
        task = asyncio.current_task(loop)
        if task is not None:
            return id(task)
    trio: Any = sys.modules.get("trio")
    if trio is not None and hasattr(trio, "lowlevel") and trio.lowlevel.in_trio_run():
        return id(trio.lowlevel.current_task())
    return -threading.get_ident()


def surroundings() -> tuple[Context, Any, Span | None]:
    """Return the context in force with its phase, and the current span if that is not the phase's own.

    A phase that ended while it stayed current in its own task (a generator that was abandoned)
    is passed over; one that ended in another task is a legitimate parent of what goes on here.
    """
    context = get_current()
    phase: CurrentPhase | None = context.phase if type(context) is PhaseContext else context.get(_PHASE_KEY)  # type: ignore[assignment]
    if phase is not None and phase._end_ns is not None and phase._task == task_key():
        context = _living(context)
        phase = context.get(_PHASE_KEY)  # type: ignore[assignment]
    if type(context) is PhaseContext:
        return context, phase, None
    span: Span | None = context.get(_SPAN_KEY)  # type: ignore[assignment]
    if phase is None:
        return context, None, span
    if span is phase._span:
        return context, phase, None
    return context, phase, INVALID_SPAN if span is None else span


def _living(context: Context) -> Context:
    while (phase := context.get(_PHASE_KEY)) is not None and phase._end_ns is not None:  # type: ignore[attr-defined]
        context = phase._previous  # type: ignore[attr-defined]
    return context


def enter(phase: CurrentPhase) -> None:
    """Make a phase and its span current."""
    attach(PhaseContext(phase))


def leave(phase: CurrentPhase) -> None:
    """Put back what was before a phase, if the phase is still current here."""
    context = get_current()
    if (context.phase if type(context) is PhaseContext else context.get(_PHASE_KEY)) is phase:
        before = phase._previous
        outer: CurrentPhase | None = before.phase if type(before) is PhaseContext else before.get(_PHASE_KEY)  # type: ignore[assignment]
        attach(before if outer is None or outer._end_ns is None else _living(before))


@contextmanager
def inside(held: list[Context]) -> Iterator[None]:
    """Run one step of a generator in its own context, and keep that context for the next step."""
    outside = get_current()
    attach(held[0])
    try:
        yield
    finally:
        held[0] = get_current()
        attach(outside)


def span_context(span: Span | None) -> SpanContext | None:
    """Return a span's context if it is a valid one."""
    if span is None:
        return None
    context = span.get_span_context()
    return context if context.is_valid else None
