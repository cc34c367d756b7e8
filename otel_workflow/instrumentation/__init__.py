"""Upstream: ``workflow`` and ``phase`` as context managers and decorators.

Uses the OpenTelemetry *API* only. What a phase does is written to the journal first, on the
caller's thread; who sends its span is the recorder's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.phases import INERT, Phase, Workflow
from otel_workflow.instrumentation.scope import Scope
from otel_workflow.instrumentation.spec import USUAL, usual
from otel_workflow.masking import mask

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanContext
    from opentelemetry.util.types import Attributes

__all__ = ("Phase", "Scope", "Workflow", "current_phase", "mask", "phase", "workflow")

P = ParamSpec("P")
R = TypeVar("R")
_PHASE: Any = "phase"
_FIRST: Any = 1
_NONE: Any = ()


def _name_of(value: object) -> str:
    return getattr(value, "__name__", type(value).__name__)


@overload
def phase(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def phase(
    name: str,
    /,
    *,
    type: Literal["build", "test", "deploy"] | None = None,
    attributes: Attributes = None,
    detail: Literal["phase", "item"] = _PHASE,
    attempt: int = _FIRST,
    allow_failure: bool = False,
    parent: Phase | SpanContext | None = None,
    links: Iterable[Link] = _NONE,
    event: str = _PHASE,
    payload: Mapping[str, Any] | None = None,
) -> Scope[Phase]: ...
def phase(
    name: Any,
    /,
    *,
    type: Literal["build", "test", "deploy"] | None = None,  # noqa: A002 - the face's word
    attributes: Attributes = None,
    detail: Literal["phase", "item"] = _PHASE,
    attempt: int = _FIRST,
    allow_failure: bool = False,
    parent: Phase | SpanContext | None = None,
    links: Iterable[Link] = _NONE,
    event: str = _PHASE,
    payload: Mapping[str, Any] | None = None,
) -> Any:
    """Make a block or a function a phase: a span, with its start and end as events.

    ``@phase`` takes the function's name. ``attempt`` counts from 1; ``allow_failure`` keeps a
    ``fail()`` from the enclosing phases; ``parent`` says outright what the context would say;
    ``event`` is the subject of its event types and ``payload`` adds keys to their payload.
    """
    called = name if isinstance(name, str) else _name_of(name)
    definition: Any
    if (
        type is None
        and detail is _PHASE
        and attempt is _FIRST
        and allow_failure is False
        and parent is None
        and links is _NONE
        and event is _PHASE
        and payload is None
        and called.__class__ is str
    ):
        definition = USUAL.get(called) or usual(called)
    else:
        definition = (called, False, type, detail, attempt, allow_failure, parent, links, event, payload)
    scope: Scope[Phase] = Scope(definition, attributes)
    return scope if called is name else scope(name)


@overload
def workflow(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def workflow(
    name: str,
    /,
    *,
    run_id: str | None = None,
    action: Literal["RUN", "BUILD", "SYNC"] = "RUN",
    attributes: Attributes = None,
    parent: Phase | SpanContext | None = None,
    links: Iterable[Link] = (),
) -> Scope[Workflow]: ...
def workflow(
    name: Any,
    /,
    *,
    run_id: str | None = None,
    action: Literal["RUN", "BUILD", "SYNC"] = "RUN",
    attributes: Attributes = None,
    parent: Phase | SpanContext | None = None,
    links: Iterable[Link] = (),
) -> Any:
    """Make a block or a function a run: the root span of a trace, found by name, id and result.

    A run inside another one, in this process or a parent, is a phase of it. ``run_id`` defaults
    to the trace id; ``action`` is the conventions' action of a pipeline.
    """
    called = name if isinstance(name, str) else _name_of(name)
    given = (called, True, None, "phase", 1, False, parent, links, "phase", None, run_id, action)
    scope: Scope[Workflow] = Scope(given, attributes)
    return scope if called is name else scope(name)


def current_phase() -> Phase:
    """Return the innermost open phase here; an inert one where there is none, never None."""
    found: Phase | None = current()
    while found is not None and found._end_ns is not None:
        found = found._outer
    return found if found is not None else INERT
