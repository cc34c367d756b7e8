"""How many bytes an event keeps alive while it waits: an estimate, made for every event published."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType, NoneType
from typing import Any

from otel_workflow.bus import guard
from otel_workflow.events import Event

__all__ = ("weigh",)

_EVENT = 640
"""Bytes of an event with its strings, an empty payload and its place in a queue (by tracemalloc)."""
_SLOT = 96
"""Bytes of a small value and its key in a dict."""
_UNKNOWN = 16 * 1024
"""What a payload counts for that cannot be looked at."""
_SMALL = frozenset({int, float, bool, NoneType})
_DEEPEST = 5
_SAMPLE = 64
"""Items of a long list that are looked at; the rest is taken to be alike."""


def weigh(event: Event) -> int:
    """Return the estimate: cheap, rather too high, and never raising."""
    payload, headers, facts = event.payload, event.headers, event.facts
    size = _EVENT
    if headers:
        size += _foreign(headers)
    if facts is not None:
        # What a phase brought with it: made safe and bounded before it came here.
        size += _of_items(facts.attributes.values(), len(facts.attributes), _DEEPEST) + len(facts.reason)
        size += len(facts.span_events) * _EVENT
    if type(payload) is not dict:
        return size + _foreign(payload)
    try:
        for value in payload.values():
            kind = type(value)
            if kind is str:
                size += _SLOT + len(value)
            elif kind in _SMALL:
                size += _SLOT
            else:
                size += _SLOT + _of(value, _DEEPEST)
    except RuntimeError:
        # Somebody else changes the payload while we look at it.
        return size + _UNKNOWN
    return size


def _foreign(mapping: Mapping[str, Any]) -> int:
    # A foreign mapping may run anything when it is asked for its values.
    size, error = guard.call(_of, mapping, _DEEPEST)
    return _UNKNOWN if error is not None or size is None else size


def _of(value: Any, depth: int) -> int:
    # ``type(value)`` and unbound methods only: a lazy proxy may run anything at ``isinstance``.
    kind = type(value)
    if issubclass(kind, str):
        return str.__sizeof__(value)
    if kind is bytes or kind is bytearray:
        return sys.getsizeof(value)
    if depth == 0:
        return _SLOT
    if kind is dict or kind is MappingProxyType:
        return _SLOT * len(value) + _of_items(value.values(), len(value), depth - 1)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return sys.getsizeof(value) + _of_items(value, len(value), depth - 1)
    return _SLOT


def _of_items(items: Any, count: int, depth: int) -> int:
    size = sum(_of(item, depth) for item in islice(items, _SAMPLE))
    return size if count <= _SAMPLE else size * count // _SAMPLE
