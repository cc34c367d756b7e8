"""A stand-in for crackerjack's bus module: the same way of an event through it, without acb."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

__all__ = ("RECORDED", "StandinBus", "event", "module", "recorded_events")

RECORDED = Path(__file__).parent / "recorded" / "crackerjack_0_46_4.json"
_numbers = itertools.count(1)


def event(event_type: str, payload: dict[str, Any] | None = None, timestamp: datetime | None = None) -> Any:
    """An event as acb makes it: a naive timestamp of local time, and whatever stands in the payload."""
    return SimpleNamespace(
        metadata=SimpleNamespace(
            event_id=f"event-{next(_numbers)}",
            event_type=event_type,
            source="crackerjack.workflow",
            timestamp=timestamp or datetime.now(),  # noqa: DTZ005 - as acb has it
            correlation_id=None,
        ),
        payload=payload or {},
    )


class StandinBus:
    """What the original does with an event, as far as the adapter can see it."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def publish(self, event_type: str, **payload: Any) -> int:
        """Publish; returns how many handlers were called."""
        return self.dispatch(event(event_type, payload))

    def dispatch(self, made: Any) -> int:
        """Publish an event that is already made."""
        handlers = self._collect_subscriptions(made)
        for handler in handlers:
            handler(made)
        return len(handlers)

    def _collect_subscriptions(self, event: Any) -> list[Any]:
        return list(self.handlers)


def module() -> ModuleType:
    """A fresh module with a fresh class in it."""
    made = ModuleType("crackerjack.events.workflow_bus")
    made.WorkflowEventBus = type("WorkflowEventBus", (StandinBus,), dict(vars(StandinBus)))  # type: ignore[attr-defined]
    return made


class LiveObject:
    """What stood in a payload and could not be recorded; touching it is an error."""

    def __str__(self) -> str:
        raise AssertionError("a live object of the engine was touched")

    __repr__ = __str__


def recorded_events() -> list[Any]:
    """The events of the real run as they were published, each live object replaced by another one."""
    found = json.loads(RECORDED.read_text(encoding="utf-8"))
    return [
        event(each["event_type"], _revived(each["payload"]), datetime.fromisoformat(each["timestamp"]))
        for each in found["events"]
    ]


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"live object"}:
            return LiveObject()
        return {key: _revived(each) for key, each in value.items()}
    return [_revived(each) for each in value] if isinstance(value, list) else value
