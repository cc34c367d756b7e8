"""Which phase is current: kept in OTel's own context, so every library's propagation carries it.

A context is put back by value, never by token: a token belongs to the task that made it, and a
generator may be closed by another one. An ended phase is never left current in the task that
entered it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as _api
from opentelemetry.context import Context, create_key
from opentelemetry.trace.propagation import _SPAN_KEY

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

__all__ = ("current", "enter", "inside", "leave", "span_context", "surroundings", "task_key")


class CurrentPhase(Protocol):
    """What the context needs to know of a phase."""

    _ended: bool
    _task: int
    _previous: Context
    span: Span


_PHASE_KEY = create_key("otel-workflow-phase")
_where: Any = getattr(_api, "_RUNTIME_CONTEXT", _api)
"""What the API's functions of these names hand on to; a phase needs them seven times."""
attach: Callable[[Context], object] = _where.attach
get_current: Callable[[], Context] = _where.get_current


def current() -> Any:
    """Return the phase of the current context, or None."""
    return get_current().get(_PHASE_KEY)


def task_key() -> int:
    """Return a number for the running task, or for the thread where there is no task."""
    asyncio: Any = sys.modules.get("asyncio")
    # Another thread may be importing it at this moment: then half of it is there, and no loop runs.
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
    """Return the context in force with its phase and its span, past phases that leaked.

    A phase that ended while it stayed current in its own task (a generator that was abandoned)
    is passed over; one that ended in another task is a legitimate parent of what goes on here.
    """
    context = get_current()
    phase: CurrentPhase | None = context.get(_PHASE_KEY)  # type: ignore[assignment]
    if phase is not None and phase._ended and phase._task == task_key():
        context = _living(context)
        phase = context.get(_PHASE_KEY)  # type: ignore[assignment]
    return context, phase, context.get(_SPAN_KEY)  # type: ignore[return-value]


def _living(context: Context) -> Context:
    while (phase := context.get(_PHASE_KEY)) is not None and phase._ended:  # type: ignore[attr-defined]
        context = phase._previous  # type: ignore[attr-defined]
    return context


def enter(phase: CurrentPhase, previous: Context) -> Context:
    """Make a phase and its span current; returns the new context."""
    made = Context({**previous, _PHASE_KEY: phase, _SPAN_KEY: phase.span})
    attach(made)
    return made


def leave(phase: CurrentPhase) -> None:
    """Put back what was before a phase, if the phase is still current here."""
    if get_current().get(_PHASE_KEY) is phase:
        before = phase._previous
        outer: CurrentPhase | None = before.get(_PHASE_KEY)  # type: ignore[assignment]
        attach(before if outer is None or not outer._ended else _living(before))


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
