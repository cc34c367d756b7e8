"""The span of a phase in the native lane: complete in OTel's context, sent by the bridge alone.

It is an API span, so ``get_current_span()`` sees it, libraries take it as their parent, and
everything set on it travels in the phase's end event. It also has the properties of the SDK's
ReadableSpan, which instrumentations read.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from otel_workflow.guard import guarded, text_of
from otel_workflow.instrumentation.verdict import describe, error_type_of
from otel_workflow.masking import excerpt, in_force, masked
from otel_workflow.semconv import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from otel_workflow.values import (
    MAX_ITEMS,
    MAX_TEXT,
    MAX_TOTAL,
    clean_attribute,
    clean_attributes,
    clean_text,
    weight_of,
)

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes, AttributeValue

    from otel_workflow.clock import Clock

__all__ = ("PhaseSpan", "end_of")

SAMPLED, UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
NO_STATE = TraceState()
MAX_STACK = 8 * 1024


def end_of(stack: str) -> str:
    """Return the last 8 KiB of a stack trace; masked if it is cut, since a secret may stand where the cut is."""
    return stack if len(stack) <= MAX_STACK else excerpt(stack, len(stack) - MAX_STACK, len(stack))


class PhaseSpan(Span):
    """Holds what a phase gathers while it is open.

    ``attributes`` set by user code, ``span_events`` as (ns, name, attributes), ``links_made`` as
    (trace id, span id, attributes). Beyond 128 of each, or beyond ``room`` characters for all of
    it, the rest is counted in ``dropped``: a phase whose record is too large would be lost whole.
    All texts are masked when they come; ``secrets`` are those that were known when the phase began.
    """

    __slots__ = (
        "clock",
        "context",
        "dropped",
        "end_time",
        "initial",
        "kind",
        "links_made",
        "name",
        "on_end",
        "own",
        "parent",
        "resource",
        "room",
        "secrets",
        "span_events",
        "start_time",
        "status",
    )

    def __init__(
        self,
        name: str,
        trace_id: int,
        span_id: int,
        parent: SpanContext | None,
        start_time: int,
        clock: Clock,
        *,
        sampled: bool = True,
        kind: SpanKind = SpanKind.INTERNAL,
        state: TraceState = NO_STATE,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.context = SpanContext(trace_id, span_id, False, SAMPLED if sampled else UNSAMPLED, state)
        self.parent = parent
        self.kind = kind
        self.start_time = start_time
        self.end_time: int | None = None
        self.clock = clock
        self.initial: Mapping[str, Any] = initial or {}
        self.own: dict[str, Any] = {}
        self.span_events: list[tuple[int, str, dict[str, Any]]] = []
        self.links_made: list[tuple[str, str, dict[str, Any]]] = []
        self.dropped = [0, 0, 0]
        self.room = MAX_TOTAL
        self.status = Status()
        self.resource: Any = None
        self.on_end: Any = None
        self.secrets = in_force()

    # -- the API's span -------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """Return the context that children take as their parent."""
        return self.context

    def is_recording(self) -> bool:
        """True until the phase has ended."""
        return self.end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute; never raises, whatever the value is."""
        guarded(None, self._set, key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set several attributes; one that cannot be read costs no other."""
        guarded(None, self._set_all, attributes)

    def _set_all(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            guarded(None, self._set, key, value)

    def _set(self, key: str, value: Any) -> None:
        if self.end_time is not None or value is None:
            return
        name = clean_text(text_of(key), 256)
        if self.room <= 0 or (len(self.own) >= MAX_ITEMS and name not in self.own):
            self.dropped[0] += 1
        elif name:
            made = self.own[name] = clean_attribute(name, value, min(MAX_TEXT, self.room))
            self.room -= weight_of(made) + len(name)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add a span event at a time in ns, by default now."""
        guarded(None, self._add_event, name, attributes, timestamp)

    def _add_event(self, name: str, attributes: Attributes, timestamp: int | None) -> None:
        if self.end_time is not None:
            return
        if self.room <= 0 or len(self.span_events) >= MAX_ITEMS:
            self.dropped[1] += 1
            return
        time_ns = timestamp if type(timestamp) is int and timestamp > 0 else self.clock.now()[0]
        made = clean_text(text_of(name), 1024), clean_attributes(attributes, min(MAX_TEXT, self.room))
        self.room -= len(made[0]) + sum(len(key) + weight_of(value) for key, value in made[1].items())
        self.span_events.append((time_ns, *made))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link another span."""
        guarded(None, self._add_link, context, attributes)

    def _add_link(self, context: SpanContext, attributes: Attributes) -> None:
        if self.end_time is not None or not context.is_valid:
            return
        if self.room <= 0 or len(self.links_made) >= MAX_ITEMS:
            self.dropped[2] += 1
            return
        ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        made = clean_attributes(attributes, min(MAX_TEXT, self.room))
        self.room -= sum(len(key) + weight_of(value) for key, value in made.items())
        self.links_made.append((*ids, made))

    def update_name(self, name: str) -> None:
        """Leave the name: a phase is known by it from its start on, and metrics count by it."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; ERROR makes the phase fail, OK cannot be taken back (as the API says)."""
        guarded(None, self._set_status, status, description)

    def _set_status(self, status: Status | StatusCode, description: str | None) -> None:
        if self.end_time is not None or self.status.status_code is StatusCode.OK:
            return
        made = status if isinstance(status, Status) else Status(status, description)
        if made.description:
            made = Status(made.status_code, masked(made.description))
        if made.status_code is not StatusCode.UNSET:
            self.status = made

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the ``exception`` event of the conventions, its stack trace cut to 8 KiB."""
        del escaped
        guarded(None, self._record_exception, exception, attributes, timestamp)

    def _record_exception(self, error: BaseException, attributes: Attributes, timestamp: int | None) -> None:
        stack = guarded("", lambda: "".join(traceback.format_exception(error)))
        made: dict[str, Any] = {
            EXCEPTION_TYPE: error_type_of(error),
            EXCEPTION_MESSAGE: text_of(error) or describe(error),
            EXCEPTION_STACKTRACE: end_of(stack),
        }
        self._add_event("exception", {**made, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End the phase, if it is one that was made through the provider; a block ends its own."""
        if self.on_end is not None and self.end_time is None:
            guarded(None, self.on_end, end_time)

    # -- the properties of the SDK's ReadableSpan -----------------------------------------------

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes so far."""
        return MappingProxyType({**self.initial, **self.own})

    @property
    def events(self) -> tuple[tuple[int, str, dict[str, Any]], ...]:
        """The span events so far, as (ns, name, attributes)."""
        return tuple(self.span_events)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links so far."""
        return tuple(
            Link(SpanContext(int(trace, 16), int(span, 16), True, SAMPLED), attributes)
            for trace, span, attributes in self.links_made
        )
