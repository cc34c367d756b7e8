"""A subscription as its owner sees it, and the terms it was made on."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from otel_workflow.errors import ConfigError
from otel_workflow.events import Event

if TYPE_CHECKING:
    from otel_workflow.bus.shapes import Unsubscribes

__all__ = ("Handler", "Overflow", "Subscription", "SubscriptionId", "Terms", "is_async")

Handler = Callable[[Event], object | Awaitable[object]]
Overflow = Literal["drop_oldest", "drop_newest", "block"]

_OVERFLOWS = ("drop_oldest", "drop_newest", "block")


class SubscriptionId(str):
    """What ``subscribe()`` returns: the id, and a ``with`` block that unsubscribes at its end."""

    __slots__ = ("bus",)

    bus: Unsubscribes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.bus.unsubscribe(self)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription as ``list_subscriptions()`` shows it; ``event_type`` is ``*`` for all events."""

    subscription_id: str
    event_type: str
    description: str | None
    max_concurrent: int

    def __getitem__(self, key: str) -> Any:
        """Read a field by key, as crackerjack's users do (``entry["event_type"]``)."""
        if key not in self.__slots__:
            raise KeyError(key)
        return getattr(self, key)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subscriber asked for: the arguments of ``subscribe()``, checked. Times are seconds."""

    handler: Handler
    predicate: Callable[[Event], bool] | None = None
    max_concurrent: int = 1
    description: str | None = None
    max_retries: int = 0
    retry_backoff: float = 0.5
    ordered: bool = True
    timeout: float | None = 30.0
    max_items: int = 10_000
    max_bytes: int = 16_777_216
    overflow: Overflow = "drop_oldest"
    dead_letter: Handler | None = None

    def __post_init__(self) -> None:
        functions: tuple[object, ...] = (self.handler, self.dead_letter, self.predicate)
        for handler in functions:
            if handler is not None and not callable(handler):
                message = f"a handler must be callable, got {type(handler).__name__}"
                raise ConfigError(message, code="OW-131", hint="pass a function or a coroutine function")
        if self.overflow not in _OVERFLOWS:
            message = f"overflow must be one of {', '.join(_OVERFLOWS)}, got {self.overflow!r}"
            raise ConfigError(message, code="OW-132", hint='overflow="drop_oldest"')
        # The original took None and 0 for one; so do we, rather than failing in somebody's start-up.
        object.__setattr__(self, "max_concurrent", max(1, self.max_concurrent or 1))


def is_async(handler: Handler) -> bool:
    """Tell whether calling the handler only makes a coroutine, so that it must be called in a loop."""
    while isinstance(handler, partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(type(handler), "__call__", None))  # noqa: B004
