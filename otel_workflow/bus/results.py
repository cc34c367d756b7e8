"""What a handler answers, and what a publisher who waited gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from otel_workflow.events import Event
from otel_workflow.guard import guarded

__all__ = ("EventHandlerResult", "WorkflowEventDispatchResult", "complete")

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EventHandlerResult:
    """How one handler fared with one event.

    A handler may return one to say that it failed without raising, or to hand ``metadata`` back.
    The bus adds ``error`` (what was raised), ``attempts`` (1 without a retry), ``duration``
    (seconds of the last attempt) and ``subscription_id``.
    """

    success: bool
    error_message: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    error: BaseException | None = field(default=None, init=False)
    attempts: int = field(default=0, init=False)
    duration: float = field(default=0.0, init=False)
    subscription_id: str = field(default="", init=False)


@dataclass(frozen=True, slots=True)
class WorkflowEventDispatchResult:
    """What ``await publish`` returns: the event, and one result per subscription it went to."""

    event: Event
    results: list[EventHandlerResult] = field(default_factory=list)


def complete(
    value: object,
    *,
    subscription_id: str,
    error: BaseException | None = None,
    message: str | None = None,
    attempts: int = 1,
    duration: float = 0.0,
    extra: Mapping[str, Any] = _EMPTY,
) -> EventHandlerResult:
    """Make the full result from what a handler returned (``value``) or raised (``error``).

    ``message`` without an ``error`` is a failure that has no exception, such as a dropped event.
    """
    success, metadata = error is None and message is None, {"subscription_id": subscription_id, **extra}
    if isinstance(value, EventHandlerResult):
        success, message = value.success, value.error_message
        metadata |= value.metadata
    elif error is not None and message is None:
        message = describe(error)
    result = EventHandlerResult(success, message, metadata)
    # The four fields of the bus are no constructor arguments, because a handler cannot know them.
    object.__setattr__(result, "error", error)
    object.__setattr__(result, "attempts", attempts)
    object.__setattr__(result, "duration", duration)
    object.__setattr__(result, "subscription_id", subscription_id)
    return result


def describe(error: BaseException) -> str:
    """Return the exception's text, or its class name where the text is empty or cannot be had."""
    return guarded(type(error).__name__, lambda: str(error) or type(error).__name__)
