"""The way out: events become OTLP traces, and are shipped.

Reading a journal needs no OpenTelemetry SDK; ``JournalSpanProcessor`` does and is loaded on use.
"""

from __future__ import annotations

from typing import Any

__all__ = ("JournalSpanProcessor",)


def __getattr__(name: str) -> Any:
    if name == "JournalSpanProcessor":
        from otel_workflow.bridge.processor import JournalSpanProcessor

        return JournalSpanProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
