"""Keeps instrumentation of HTTP and gRPC libraries from making spans of our own sending."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("suppressed",)

_NAMES = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
_PLAIN = "suppress_instrumentation"
"""The name some instrumentation asks for instead of the API's unique key."""


@contextmanager
def suppressed() -> Iterator[None]:
    """Mark the context so that contrib's instrumentation passes over everything done in the block."""
    from opentelemetry import context

    marked = context.set_value(_PLAIN, True)
    for name in _NAMES:  # of the API, though not public; one that goes away costs a span, not a failure
        key = getattr(context, name, None)
        if key is not None:
            marked = context.set_value(key, True, marked)
    token = context.attach(marked)
    try:
        yield
    finally:
        context.detach(token)
