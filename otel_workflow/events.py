"""The vocabulary: what can be said about a workflow, and nothing else.

An event's type is ``<subject>.<transition>`` (``hooks.strategy.started``). The transition says
what happened to a phase; the subject says what kind of phase it was. Standard library only: no
clock, no I/O, nothing imported from this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, Self

__all__ = (
    "END_TRANSITIONS",
    "TRANSITIONS",
    "Event",
    "EventMetadata",
    "Maker",
    "Outcome",
    "PhaseFacts",
    "SpanRef",
    "WorkflowEvent",
    "event_id",
    "split_type",
    "transition_of",
)

Maker = Literal["bridge", "sdk"]


class Outcome(str, Enum):
    """How a phase ended: the six results of the CI/CD semantic conventions.

    ========= ==========================================================================
    success   the block ended
    failure   the *work* failed: an exception, ``fail()``, a test that does not pass
    error     the *system* failed the work: killed, worker lost, out of memory
    timeout   it took too long
    cancellation  somebody asked for it to stop
    skip      it decided not to run
    ========= ==========================================================================
    """

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLATION = "cancellation"
    SKIP = "skip"

    def __str__(self) -> str:
        return str(self.value)


TRANSITIONS: tuple[str, ...] = (
    "queued",
    "started",
    "progress",
    "retrying",
    "suspended",
    "completed",
    "failed",
    "skipped",
    "cancelled",
    "interrupted",
    "heartbeat",
)
"""All transitions. A transition's place in this tuple is its number in the journal: append only."""

END_TRANSITIONS: frozenset[str] = frozenset({"completed", "failed", "skipped", "cancelled", "interrupted"})

_TRANSITION_OF_OUTCOME: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.SUCCESS: "completed",
        Outcome.FAILURE: "failed",
        Outcome.ERROR: "failed",
        Outcome.TIMEOUT: "failed",
        Outcome.CANCELLATION: "cancelled",
        Outcome.SKIP: "skipped",
    }
)


def transition_of(outcome: Outcome) -> str:
    """Return the transition with which a phase of this outcome ends (``failure`` → ``failed``)."""
    return _TRANSITION_OF_OUTCOME[outcome]


def split_type(event_type: str) -> tuple[str, str | None]:
    """Split ``hooks.strategy.started`` into (``hooks.strategy``, ``started``).

    Without a known transition the whole type is the subject and the transition is None: such an
    event is a span event of the phase it happened in.
    """
    subject, dot, last = event_type.rpartition(".")
    if dot and last in TRANSITIONS:
        return subject, last
    return event_type, None


class WorkflowEvent(str, Enum):
    """Event types with a name: the twenty of crackerjack's bus, under the same names, then ours."""

    WORKFLOW_STARTED = "workflow.started"
    WORKFLOW_SESSION_INITIALIZING = "workflow.session.initializing"
    WORKFLOW_SESSION_READY = "workflow.session.ready"
    CONFIG_PHASE_STARTED = "workflow.config.started"
    CONFIG_PHASE_COMPLETED = "workflow.config.completed"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"
    WORKFLOW_INTERRUPTED = "workflow.interrupted"
    QUALITY_PHASE_STARTED = "workflow.quality.started"
    QUALITY_PHASE_COMPLETED = "workflow.quality.completed"
    PUBLISH_PHASE_STARTED = "workflow.publish.started"
    PUBLISH_PHASE_COMPLETED = "workflow.publish.completed"
    COMMIT_PHASE_STARTED = "workflow.commit.started"
    COMMIT_PHASE_COMPLETED = "workflow.commit.completed"
    HOOK_STRATEGY_STARTED = "hooks.strategy.started"
    HOOK_STRATEGY_COMPLETED = "hooks.strategy.completed"
    HOOK_STRATEGY_FAILED = "hooks.strategy.failed"
    HOOK_EXECUTION_STARTED = "hooks.execution.started"
    HOOK_EXECUTION_COMPLETED = "hooks.execution.completed"
    HOOK_EXECUTION_FAILED = "hooks.execution.failed"

    PHASE_STARTED = "phase.started"
    PHASE_COMPLETED = "phase.completed"
    PHASE_FAILED = "phase.failed"
    PHASE_SKIPPED = "phase.skipped"
    PHASE_CANCELLED = "phase.cancelled"
    PHASE_INTERRUPTED = "phase.interrupted"
    PHASE_QUEUED = "phase.queued"
    PHASE_RETRYING = "phase.retrying"
    PHASE_SUSPENDED = "phase.suspended"
    PHASE_PROGRESS = "phase.progress"
    WORKFLOW_CANCELLED = "workflow.cancelled"
    WORKFLOW_HEARTBEAT = "workflow.heartbeat"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class SpanRef:
    """The span of a phase, as far as an event needs to know it; ids are lower-case hex.

    ``maker`` says who sends the span: ``bridge`` when it is built from events, ``sdk`` when a
    foreign SDK provider made it and the bridge must not make a second one.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    trace_flags: int = 1
    trace_state: str = ""
    parent_is_remote: bool = False
    maker: Maker = "bridge"


def event_id(trace_id: str, span_id: str, sequence: int) -> str:
    """Return the id of an event of a phase; a replay gives the same id, so consumers can drop doubles."""
    return f"{trace_id[:16]}-{span_id}-{sequence}"


_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _EMPTY  # by a factory: before Python 3.12 a mapping proxy has no hash and counts as mutable


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """What an event of an instrumented phase knows beyond its payload; the fold reads nothing else.

    ``start_ns`` stands in every event of a phase, so that one whose start was lost can still be
    drawn. ``handed`` says that a verdict came up from an inner phase. ``ended_ns`` is set by end
    events only. ``span_events`` are (time in ns, name, attributes), ``links`` are (trace id, span
    id, attributes), ids in hex.
    """

    name: str
    start_ns: int
    is_run: bool = False
    nested: bool = False
    workflow: str = ""
    action: str = "RUN"
    task_type: str | None = None
    detail: str = "phase"
    attempt: int = 1
    inferred: bool = False
    parent_phase: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=_nothing)
    links: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()
    ended_ns: int | None = None
    outcome: Outcome | None = None
    reason: str = ""
    error_type: str | None = None
    handed: bool = False
    description: str = ""
    status_ok: bool = False
    span_events: tuple[tuple[int, str, Mapping[str, Any]], ...] = ()
    dropped: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """An event's envelope, under the names crackerjack's users know (``event.metadata.timestamp``)."""

    event_id: str
    event_type: str
    source: str
    timestamp: datetime
    correlation_id: str | None
    headers: Mapping[str, Any]


class _Draft:
    """An event while it is made: a frozen dataclass sets each field at three times the price."""

    __slots__ = (
        "correlation_id", "facts", "headers", "id", "payload", "phase_id", "run_id", "source", "span", "time_ns",
        "type",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, init=False)
class Event(_Draft):
    """One thing that happened, once; equal events are the same event however often they arrive.

    ``time_ns`` is wall-clock time in integer nanoseconds since the epoch. ``payload`` holds
    name, attempt, timestamp, duration, success, error, error_type and attributes as far as the
    transition has them, and the publisher's own keys.
    """

    id: str
    type: str
    source: str
    time_ns: int
    run_id: str | None = None
    phase_id: str | None = None
    payload: Mapping[str, Any] = field(default_factory=_nothing)
    span: SpanRef | None = None
    correlation_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=_nothing)
    facts: PhaseFacts | None = None

    def __new__(
        cls,
        id: str,  # noqa: A002 - a field's name is what its readers call it
        type: str,  # noqa: A002
        source: str,
        time_ns: int,
        run_id: str | None = None,
        phase_id: str | None = None,
        payload: Mapping[str, Any] = _EMPTY,
        span: SpanRef | None = None,
        correlation_id: str | None = None,
        headers: Mapping[str, Any] = _EMPTY,
        facts: PhaseFacts | None = None,
    ) -> Self:
        """Fill a draft and freeze it by giving it its class."""
        made: Any = _Draft()
        made.id = id
        made.type = type
        made.source = source
        made.time_ns = time_ns
        made.run_id = run_id
        made.phase_id = phase_id
        made.payload = payload
        made.span = span
        made.correlation_id = correlation_id
        made.headers = headers
        made.facts = facts
        made.__class__ = cls
        return made  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, tuple(getattr(self, name) for name in self.__match_args__)

    @property
    def subject(self) -> str:
        """What kind of phase it was: the type without its transition."""
        return split_type(self.type)[0]

    @property
    def transition(self) -> str | None:
        """What happened to the phase, or None for an event that is only a span event."""
        return split_type(self.type)[1]

    @property
    def metadata(self) -> EventMetadata:
        """The envelope as crackerjack's handlers read it, with an aware UTC timestamp."""
        return EventMetadata(
            event_id=self.id,
            event_type=self.type,
            source=self.source,
            timestamp=datetime.fromtimestamp(self.time_ns / 1e9, UTC),
            correlation_id=self.correlation_id,
            headers=self.headers,
        )
