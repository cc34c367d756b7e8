"""What a phase was defined as, before anything ran: one per ``with``, decorator or call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, SpanContext

__all__ = ("Spec",)


class HasSpan(Protocol):
    """A phase, as far as a definition needs to know it."""

    span: Span
    span_id: str


@dataclass(frozen=True, slots=True)
class Spec:
    """The arguments of ``phase()`` or ``workflow()``, as they were given.

    ``published`` says that the phase comes from an event somebody published: its own events are
    then not put on the bus a second time. ``source`` is that event's.
    """

    name: str
    is_run: bool = False
    task_type: str | None = None
    attributes: Mapping[str, Any] | None = None
    detail: str = "phase"
    attempt: int = 1
    allow_failure: bool = False
    parent: HasSpan | SpanContext | None = None
    links: Iterable[Link] = ()
    subject: str = "phase"
    payload: Mapping[str, Any] | None = None
    run_id: str | None = None
    action: str = "RUN"
    source: str = "otel_workflow"
    published: bool = False
