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
from otel_workflow.instrumentation.attributes import mapping_of
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

    from otel_workflow.instrumentation.attributes import Kept
    from otel_workflow.instrumentation.recorder import Recorder

__all__ = ("NO_STATE", "Gathered", "PhaseSpan", "end_of")

SAMPLED, UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
NO_STATE = TraceState()
MAX_STACK = 8 * 1024
_NO_PARENT = b"\x00" * 8


def end_of(stack: str) -> str:
    """Return the last 8 KiB of a stack trace; masked if it is cut, since a secret may stand where the cut is."""
    return stack if len(stack) <= MAX_STACK else excerpt(stack, len(stack) - MAX_STACK, len(stack))


class Gathered:
    """What user code and libraries put on a span; most spans of phases never need one.

    ``own`` are attributes, ``span_events`` are (ns, name, attributes), ``links_made`` are
    (trace id, span id, attributes). Beyond 128 of each, or beyond ``room`` characters for all of
    it, the rest is counted in ``dropped``: a phase whose record is too large would be lost whole.
    All texts are masked when they come; ``secrets`` are those that were known when the first came.
    """

    __slots__ = ("dropped", "links_made", "own", "room", "secrets", "span_events", "status")

    def __init__(self) -> None:
        self.own: dict[str, Any] = {}
        self.span_events: list[tuple[int, str, dict[str, Any]]] = []
        self.links_made: list[tuple[str, str, dict[str, Any]]] = []
        self.dropped = [0, 0, 0]
        self.room = MAX_TOTAL
        self.status: Status | None = None
        self.secrets = in_force()

    @property
    def is_ok(self) -> bool:
        """True when somebody said that all is well."""
        return self.status is not None and self.status.status_code is StatusCode.OK


class PhaseSpan(Span):
    """The span of an open phase: what it began with, and ``gathered``, None until there is something.

    ``ids`` are trace id, span id and parent span id as they stand in its records, 32 bytes. Its
    context is made of them when somebody asks for it.
    """

    __slots__ = (
        "_context",
        "_parent",
        "end_time",
        "gathered",
        "ids",
        "initial",
        "kind",
        "name",
        "on_end",
        "recorder",
        "sampled",
        "start_time",
        "trace_state",
    )

    def __init__(
        self,
        name: str,
        ids: bytes,
        parent: SpanContext | None,
        start_time: int,
        recorder: Recorder,
        sampled: bool,
        kind: SpanKind,
        trace_state: TraceState,
        initial: Kept,
    ) -> None:
        self.name = name
        self.ids = ids
        self.sampled = sampled
        self.trace_state = trace_state
        self._parent = parent
        self.kind = kind
        self.start_time = start_time
        self.end_time: int | None = None
        self.recorder = recorder
        self.initial = initial
        self.gathered: Gathered | None = None
        self.on_end: Any = None
        self._context: SpanContext | None = None

    def _gather(self) -> Gathered:
        """Return what was gathered; several threads that come first at once all get the same."""
        if self.gathered is None:
            # setdefault is one step of the interpreter: no thread and no signal handler comes in between.
            self.gathered = self.__dict__.setdefault("_gathered", Gathered())
        return self.gathered

    # -- the API's span -------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """Return the context that children take as their parent."""
        if self._context is None:
            self._context = self._context_of(self.ids[16:24])
        return self._context

    def _context_of(self, span_id: bytes) -> SpanContext:
        flags = SAMPLED if self.sampled else UNSAMPLED
        trace_id = int.from_bytes(self.ids[:16], "big")
        return SpanContext(trace_id, int.from_bytes(span_id, "big"), False, flags, self.trace_state)

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
        name, into = clean_text(text_of(key), 256), self._gather()
        if into.room <= 0 or (len(into.own) >= MAX_ITEMS and name not in into.own):
            into.dropped[0] += 1
        elif name:
            made = into.own[name] = clean_attribute(name, value, min(MAX_TEXT, into.room))
            into.room -= weight_of(made) + len(name)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add a span event at a time in ns, by default now."""
        guarded(None, self._add_event, name, attributes, timestamp)

    def _add_event(self, name: str, attributes: Attributes, timestamp: int | None) -> None:
        if self.end_time is not None:
            return
        into = self._gather()
        if into.room <= 0 or len(into.span_events) >= MAX_ITEMS:
            into.dropped[1] += 1
            return
        time_ns = timestamp if type(timestamp) is int and timestamp > 0 else self.recorder.clock.now()[0]
        made = clean_text(text_of(name), 1024), clean_attributes(attributes, min(MAX_TEXT, into.room))
        into.room -= len(made[0]) + sum(len(key) + weight_of(value) for key, value in made[1].items())
        into.span_events.append((time_ns, *made))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link another span."""
        guarded(None, self._add_link, context, attributes)

    def _add_link(self, context: SpanContext, attributes: Attributes) -> None:
        if self.end_time is not None or not context.is_valid:
            return
        into = self._gather()
        if into.room <= 0 or len(into.links_made) >= MAX_ITEMS:
            into.dropped[2] += 1
            return
        ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        made = clean_attributes(attributes, min(MAX_TEXT, into.room))
        into.room -= sum(len(key) + weight_of(value) for key, value in made.items())
        into.links_made.append((*ids, made))

    def update_name(self, name: str) -> None:
        """Leave the name: a phase is known by it from its start on, and metrics count by it."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; ERROR makes the phase fail, OK cannot be taken back (as the API says)."""
        guarded(None, self._set_status, status, description)

    def _set_status(self, status: Status | StatusCode, description: str | None) -> None:
        into = self._gather()
        if self.end_time is not None or into.is_ok:
            return
        made = status if isinstance(status, Status) else Status(status, description)
        if made.description:
            made = Status(made.status_code, masked(made.description))
        if made.status_code is not StatusCode.UNSET:
            into.status = made

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
    def parent(self) -> SpanContext | None:
        """The context of its parent: as it was given, else that of a span in this process."""
        if self._parent is None and self.ids[24:] != _NO_PARENT:
            self._parent = self._context_of(self.ids[24:])
        return self._parent

    @property
    def context(self) -> SpanContext:
        """The same as ``get_span_context()``."""
        return self.get_span_context()

    @property
    def resource(self) -> Any:
        """The resource of this process."""
        return self.recorder.resource

    @property
    def status(self) -> Status:
        """The status so far."""
        return (self.gathered and self.gathered.status) or Status()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes so far."""
        own = {} if self.gathered is None else self.gathered.own
        return MappingProxyType({**mapping_of(self.initial), **own})

    @property
    def events(self) -> tuple[tuple[int, str, dict[str, Any]], ...]:
        """The span events so far, as (ns, name, attributes)."""
        return () if self.gathered is None else tuple(self.gathered.span_events)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links so far."""
        return tuple(
            Link(SpanContext(int(trace, 16), int(span, 16), True, SAMPLED), attributes)
            for trace, span, attributes in (() if self.gathered is None else self.gathered.links_made)
        )
