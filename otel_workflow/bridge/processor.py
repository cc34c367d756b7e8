"""A span processor that writes finished spans into the journal as OTLP bytes.

Our own provider carries one for the spans that libraries make; alone, it may be added to
anybody's SDK pipeline.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_workflow.bridge.encoder import OtlpSpanEncoder
from otel_workflow.bridge.otlp import encode_resource, encode_scope
from otel_workflow.guard import guarded
from otel_workflow.journal import SPAN, Journal, JournalWriter
from otel_workflow.journal.record import encode_span
from otel_workflow.masking import mask_logs, masked, masked_resource, masked_value, watch_environment

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ("JournalSpanProcessor",)


class JournalSpanProcessor(SpanProcessor):
    """Journals each sampled span when it ends, without its secrets; the bridge ships it.

    ``journal`` is a directory; without one, ``OW_JOURNAL`` names it. Raises nothing into the
    program it watches.
    """

    def __init__(self, journal: str | os.PathLike[str] | None = None) -> None:
        directory = os.fspath(journal) if journal is not None else os.environ.get("OW_JOURNAL", "")
        self._resource: Any = None
        self._own = bool(directory)
        self._journal: Callable[[], Journal | None]
        if directory:
            writer = JournalWriter(directory, self._header)
            self._journal = lambda: writer
        else:
            self._journal = lambda: None
        self._wake: Callable[[], None] | None = None
        self._encoder = OtlpSpanEncoder(masking=True)
        mask_logs()

    @classmethod
    def into(
        cls, journal: Callable[[], Journal | None], resource: Any, wake: Callable[[], None] | None = None
    ) -> JournalSpanProcessor:
        """Return one that writes to a journal somebody else has opened with this resource.

        ``wake`` is called after each span, so that delivery starts where it does not run.
        """
        made = cls.__new__(cls)
        made._journal, made._resource, made._own, made._wake = journal, resource, False, wake  # noqa: SLF001
        made._encoder = OtlpSpanEncoder(masking=True)  # noqa: SLF001
        return made

    def _header(self) -> dict[str, Any]:
        attributes = masked_resource(self._resource.attributes) if self._resource is not None else {}
        return {"version": 1, "resource": attributes, "scope": {"name": "otel_workflow"}, "destination": ""}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do: only finished spans are journalled."""

    def on_end(self, span: ReadableSpan) -> None:
        """Journal a span that has ended."""
        if span.context is not None and span.context.trace_flags.sampled:
            guarded(None, self._write, span)

    def _write(self, span: ReadableSpan) -> None:
        watch_environment()
        if self._resource is None:
            self._resource = span.resource
        journal = self._journal()
        if journal is None:
            return
        scope = span.instrumentation_scope
        scope_bytes, schema = b"", ""
        if scope is not None:
            attributes = {key: masked_value(key, value) for key, value in (scope.attributes or {}).items()}
            scope_bytes = encode_scope(masked(scope.name), scope.version or "", attributes)
            schema = scope.schema_url or ""
        resource = (
            b"" if span.resource is self._resource else encode_resource(masked_resource(span.resource.attributes))
        )
        payload = encode_span(scope_bytes, schema.encode(), resource, self._encoder.encode_span(span))
        journal.write(SPAN, payload)
        if self._wake is not None:
            self._wake()

    def shutdown(self) -> None:
        """Close the journal, if it is this processor's own."""
        journal = self._journal()
        if self._own and journal is not None:
            journal.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits: what has ended is in the journal."""
        return True
