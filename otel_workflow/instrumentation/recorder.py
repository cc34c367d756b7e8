"""The seam between phases and whoever records them: what is in force now, and nothing imported.

Instrumentation asks ``active()`` at every phase; the runtime installs a ``Recorder``. Without one
a phase is inert, unless a foreign SDK provider exists (then it makes plain spans) or somebody
listens on the bus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from opentelemetry import trace

from otel_workflow.bus import WorkflowEventBus, get_bus
from otel_workflow.clock import Clock, SystemClock
from otel_workflow.guard import guarded
from otel_workflow.instrumentation.ids import RandomIds
from otel_workflow.masking import learn_environment, mask_logs
from otel_workflow.semconv import SCHEMA_URL, SCOPE_NAME

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, Tracer

    from otel_workflow.journal import Journal

__all__ = ("Ids", "Lane", "Recorder", "active", "install", "is_disabled", "on_demand", "replaced", "uninstall")

Lane = Literal["native", "sdk", "off"]


class Ids(Protocol):
    """Where span and trace ids come from."""

    def span_id(self) -> int:
        """Return a new span id."""
        ...

    def trace_id(self) -> int:
        """Return a new trace id."""
        ...


@dataclass(slots=True, eq=False)
class Recorder:
    """Everything a phase needs to record itself.

    ``lane`` says who makes the span (DESIGN: native, SDK lane). ``sampler`` is asked once per
    root and answers whether the trace is exported; None keeps all. ``on_start`` and ``on_end``
    reach span processors that users added to our provider; None when there are none.
    ``environment_parent`` is the parent given by TRACEPARENT; ``environment_nested`` says that it
    is a phase of ours. ``publishes_environment`` lets the outermost run put itself into
    ``os.environ`` for child processes. ``wake`` starts delivery where it does not run yet.
    """

    lane: Lane
    bus: WorkflowEventBus
    journal: Journal | None = None
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    tracer: Tracer | None = None
    sampler: Callable[[SpanContext | None, int, str, dict[str, Any]], bool] | None = None
    on_start: Callable[[Span, Any], None] | None = None
    on_end: Callable[[Span], None] | None = None
    trace_url: str | None = None
    environment_parent: SpanContext | None = None
    environment_nested: bool = False
    publishes_environment: bool = False
    environment_before: dict[str, str] = field(default_factory=dict)
    resource: Any = None
    open_runs: dict[int, Any] = field(default_factory=dict)
    first_run: Callable[[str], None] | None = None
    wake: Callable[[], None] | None = None


class _Slot:
    """What is in force. One instance for the process; no module variable is rebound."""

    __slots__ = ("auto", "disabled", "fallback", "quiet", "recorder", "tried")

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.fallback: Recorder | None = None
        self.auto: Callable[[], None] | None = None
        self.tried = False
        self.disabled: bool | None = None
        self.quiet: WorkflowEventBus | None = None
        """The bus, once everybody was asked and nobody wanted anything recorded."""


_slot = _Slot()
_PROVIDER = "_TRACER_PROVIDER"
_NOBODYS = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)


def install(recorder: Recorder) -> None:
    """Put a recorder in force; phases that are open keep the one they began with."""
    learn_environment()
    mask_logs()
    _slot.recorder, _slot.disabled = recorder, None


def uninstall(recorder: Recorder) -> None:
    """Take a recorder out of force; nothing happens if another one has replaced it."""
    if _slot.recorder is recorder:
        _slot.recorder = None
        _slot.tried = True  # what was shut down does not come back by itself


@contextmanager
def replaced(recorder: Recorder) -> Iterator[None]:
    """Put a recorder in force for a block, whatever was in force before; for tests."""
    before = _slot.recorder, _slot.disabled
    _slot.recorder, _slot.disabled = recorder, False
    try:
        yield
    finally:
        _slot.recorder, _slot.disabled = before


def on_demand(configure: Callable[[], None]) -> None:
    """Say how to configure when ``OW_JOURNAL`` is set and nobody called ``configure()``."""
    _slot.auto, _slot.quiet = configure, None


def is_disabled() -> bool:
    """True when OTEL_SDK_DISABLED or OW_DISABLED switches recording off; read once."""
    if _slot.disabled is None:
        whole = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        ours = os.environ.get("OW_DISABLED", "").strip().lower() in ("1", "true", "yes", "on")
        _slot.disabled = whole or ours
    return _slot.disabled


def active() -> Recorder | None:
    """Return the recorder in force, or None where a phase is to be inert."""
    if _slot.recorder is not None:
        return _slot.recorder
    # Nobody has become a listener and no provider has been set since everybody was asked. The
    # provider is looked at where the API keeps it: to ask for it reads the environment every time.
    if (bus := _slot.quiet) is not None and not bus.has_listeners and getattr(trace, _PROVIDER, _slot) is None:
        return None
    return guarded(None, _resolve)


def _resolve() -> Recorder | None:
    _slot.quiet = None
    if not is_disabled():
        if not _slot.tried and _slot.auto is not None:
            _slot.tried = True  # the environment is asked once, at the first phase
            if os.environ.get("OW_JOURNAL"):
                _slot.auto()
            if _slot.recorder is not None:
                return _slot.recorder
        provider = trace.get_tracer_provider()
        if type(provider) not in _NOBODYS:
            return _plain_sdk(provider)
    return _listened()


def _plain_sdk(provider: trace.TracerProvider) -> Recorder:
    """A foreign provider alone: its spans and our bus events, no journal."""
    fallback = _slot.fallback
    if fallback is None or fallback.lane != "sdk":
        tracer = provider.get_tracer(SCOPE_NAME, schema_url=SCHEMA_URL)
        fallback = _slot.fallback = Recorder("sdk", get_bus(), tracer=tracer)
    return fallback


def _listened() -> Recorder | None:
    bus = get_bus()
    if not bus.has_listeners:
        _slot.quiet = bus
        return None
    fallback = _slot.fallback
    if fallback is None or fallback.lane != "off" or fallback.bus is not bus:
        fallback = _slot.fallback = Recorder("off", bus)
    return fallback
