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

    @property
    def span_id(self) -> str:
        """The id of its span in lower-case hex."""
        ...


@dataclass(slots=True, eq=False)
class Spec:
    """The arguments of ``phase()`` or ``workflow()``, as they were given; nobody changes them.

    Not frozen: a frozen one takes four times as long to make, a tenth of a whole phase.

    ``published`` says that the phase comes from an event somebody published: its own events are
    then not put on the bus a second time. ``source`` is that event's. ``said`` keeps what every
    record of its phases says of the definition, masked, and ``secrets`` what was secret then.
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
    said: str = ""
    secrets: object = None
