"""The guard of instrumentation: whatever goes wrong inside telemetry stays inside telemetry.

One of the two places where a broad ``except`` is allowed (the other guards the bus's handlers).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ("guarded", "text_of")

T = TypeVar("T")
_logger = logging.getLogger("otel_workflow")
_told: set[str] = set()


def guarded(default: T, function: Callable[..., T], *args: Any) -> T:
    """Call the function; when it fails, log one calm line per place and return the default."""
    try:
        return function(*args)
    except Exception as error:
        _tell(function, error)
        return default


def _tell(function: Callable[..., Any], error: Exception) -> None:
    place = f"{getattr(function, '__qualname__', 'telemetry')}: {type(error).__name__}"
    if place not in _told:
        _told.add(place)
        try:
            _logger.warning("otel-workflow lost a piece of telemetry in %s", place, exc_info=error)
        except Exception:
            return


def text_of(value: object) -> str:
    """Return ``str(value)``, or what can be said of a value whose ``__str__`` raises."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}: str() raised {type(error).__name__}>"
