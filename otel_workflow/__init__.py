"""otel-workflow: every phase of every workflow as an OpenTelemetry span, kept through any death.

::

    import otel_workflow as ow

    ow.configure()
    with ow.workflow("nightly"):
        with ow.phase("compile") as p:
            p.fail("2 files do not parse")

Nothing happens at import, and nothing heavy is loaded before first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_workflow.bus import (
        BusStatistics,
        EventHandlerResult,
        Subscription,
        SubscriptionId,
        WorkflowEventBus,
        WorkflowEventDispatchResult,
        get_bus,
    )
    from otel_workflow.errors import ConfigError, OtelWorkflowError
    from otel_workflow.events import Event, EventMetadata, Outcome, WorkflowEvent
    from otel_workflow.instrumentation import (
        Phase,
        Scope,
        Workflow,
        current_phase,
        mask,
        phase,
        workflow,
    )
    from otel_workflow.runtime import Runtime, configure

__all__ = (
    "BusStatistics",
    "ConfigError",
    "Event",
    "EventHandlerResult",
    "EventMetadata",
    "OtelWorkflowError",
    "Outcome",
    "Phase",
    "Runtime",
    "Scope",
    "Subscription",
    "SubscriptionId",
    "Workflow",
    "WorkflowEvent",
    "WorkflowEventBus",
    "WorkflowEventDispatchResult",
    "configure",
    "current_phase",
    "get_bus",
    "mask",
    "phase",
    "workflow",
)

_BUS = "otel_workflow.bus"
_ERRORS = "otel_workflow.errors"
_EVENTS = "otel_workflow.events"
_INSTRUMENTATION = "otel_workflow.instrumentation"
_RUNTIME = "otel_workflow.runtime"

_HOMES = {
    "BusStatistics": _BUS,
    "ConfigError": _ERRORS,
    "Event": _EVENTS,
    "EventHandlerResult": _BUS,
    "EventMetadata": _EVENTS,
    "OtelWorkflowError": _ERRORS,
    "Outcome": _EVENTS,
    "Phase": _INSTRUMENTATION,
    "Runtime": _RUNTIME,
    "Scope": _INSTRUMENTATION,
    "Subscription": _BUS,
    "SubscriptionId": _BUS,
    "Workflow": _INSTRUMENTATION,
    "WorkflowEvent": _EVENTS,
    "WorkflowEventBus": _BUS,
    "WorkflowEventDispatchResult": _BUS,
    "configure": _RUNTIME,
    "current_phase": _INSTRUMENTATION,
    "get_bus": _BUS,
    "mask": _INSTRUMENTATION,
    "phase": _INSTRUMENTATION,
    "workflow": _INSTRUMENTATION,
}


def _configure_from_environment() -> None:
    from otel_workflow.runtime import configure_from_environment

    configure_from_environment()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from otel_workflow.version import VERSION

        return VERSION
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'otel_workflow' has no attribute {name!r}")
    if home == _INSTRUMENTATION:
        from otel_workflow.instrumentation.recorder import on_demand

        on_demand(_configure_from_environment)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
