"""The timeline: every event as one line of a log, as crackerjack's page shows it."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import cache

from otel_workflow.events import Event, WorkflowEvent

__all__ = ("line", "log_event")

_NAMED_BY = ("name", "strategy", "phase", "hook", "step_id")


def log_event(event: Event) -> None:
    """Log an event at INFO on ``otel_workflow.timeline``."""
    logger = _logger()
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", line(event))


@cache
def _logger() -> logging.Logger:
    return logging.getLogger("otel_workflow.timeline")


def line(event: Event) -> str:
    """Return the event's line, in local time.

    >>> said = {"strategy": "fast", "duration": 20.33}
    >>> line(Event("1", "hooks.strategy.completed", "ci", 1762337750456000000, payload=said))
    '[2025-11-05 10:15:50.456] HOOK_STRATEGY_COMPLETED (fast) - duration: 20.33s'
    """
    seconds, rest = divmod(event.time_ns, 1_000_000_000)
    when = datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = f"[{when}.{rest // 1_000_000:03d}] {_title(event.type)}"
    for key in _NAMED_BY:
        if name := event.payload.get(key):
            text += f" ({_one_line(name)})"
            break
    duration = event.payload.get("duration")
    if isinstance(duration, int | float):
        text += f" - duration: {duration:.2f}s"
    return text


def _title(event_type: str) -> str:
    try:
        return WorkflowEvent(event_type).name
    except ValueError:
        return _one_line(event_type)


def _one_line(value: object) -> str:
    """Return a text that stays in its line: whoever names a phase forges no log and moves no cursor."""
    text = f"{value}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
