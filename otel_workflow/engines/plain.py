"""Makes plain data of what an engine puts into its events: live objects stay with the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from otel_workflow.guard import guarded, text_of

__all__ = ("plain", "time_ns_of")

_DEPTH = 3
_MOST = 64


def plain(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be recorded: texts, numbers, lists of them; mappings with dotted keys.

    An exception becomes its text. Everything else is left out, and nothing of it is kept alive.
    """
    return dict(islice(_pairs("", payload, 0), _MOST))


def _pairs(prefix: str, payload: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in islice(payload.items(), _MOST):
        name = f"{prefix}{text_of(key)}"
        if isinstance(value, str | bool | int | float):
            yield name, value
        elif isinstance(value, BaseException):
            yield name, text_of(value)
        elif isinstance(value, Mapping) and depth < _DEPTH:
            yield from _pairs(f"{name}.", value, depth + 1)
        elif isinstance(value, list | tuple):
            items = [item for item in islice(value, _MOST) if isinstance(item, str | bool | int | float)]
            if items:
                yield name, items


def time_ns_of(moment: object, otherwise: int) -> int:
    """Return a datetime in ns since the epoch; a naive one is in this machine's local time."""
    return guarded(otherwise, _ns, moment) if isinstance(moment, datetime) else otherwise


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000  # a float holds whole microseconds until 2255
