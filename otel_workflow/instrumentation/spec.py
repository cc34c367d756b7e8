"""What a phase was defined as, before anything ran: one per ``with``, decorator or call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, SpanContext

__all__ = ("USUAL", "Spec", "usual")

_MOST_NAMES, _LONGEST_NAME = 1024, 256


class HasSpan(Protocol):
    """A phase, as far as a definition needs to know it."""

    @property
    def span(self) -> Span:
        """Its span."""
        ...

    @property
    def span_id(self) -> str:
        """The id of its span in lower-case hex."""
        ...


@dataclass(slots=True, eq=False)
class Spec:
    """The arguments of ``phase()`` or ``workflow()`` but for the attributes, as they were given; nobody changes them.

    Not frozen: a frozen one takes four times as long to make.

    ``published`` says that the phase comes from an event somebody published: its own events are
    then not put on the bus a second time. ``source`` is that event's. ``said`` keeps what was
    secret when a record of it was last written, what that said of its run, of the definition and
    the run, and of the definition alone: in one piece, since several threads may write at once.
    """

    name: str
    is_run: bool = False
    task_type: str | None = None
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
    said: tuple[object, str | None, str, str] = (None, None, "", "")


USUAL: dict[str, Spec] = {}
"""What ``usual`` has made, by name: to be looked into before it is called."""


def usual(name: str) -> Spec:
    """Return the definition of a phase of which nothing is said but its name: names repeat, and share it."""
    made = Spec(name)
    if len(name) <= _LONGEST_NAME:
        if len(USUAL) >= _MOST_NAMES:
            USUAL.clear()
        USUAL[name] = made
    return made
