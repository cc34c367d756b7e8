"""What was heard goes into a journal of the daemon's own, from which the normal shipper sends it.

A span is forwarded once, however often it is heard: that covers senders who repeat what they had
an answer lost for, and it ends every loop, also one through collectors that drop our header.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from otel_workflow import semconv
from otel_workflow.bridge.daemon.heard import HeardSpan
from otel_workflow.journal import SPAN, JournalWriter
from otel_workflow.journal.record import encode_span
from otel_workflow.version import VERSION

__all__ = ("Forward",)

_REMEMBERED = 200_000


class Forward:
    """Keeps heard spans in ``directory``; ``instance`` names this daemon in the header of what it sends.

    ``again`` counts spans that were heard again.
    """

    def __init__(self, directory: Path, instance: str, destination: str) -> None:
        self.directory = directory
        self.instance = instance
        self.again = 0
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._destination = destination
        self._writer = JournalWriter(str(directory), self._header)

    def _header(self) -> dict[str, Any]:
        return {
            "version": 1,
            "resource": {"service.name": "otel-workflow-bridge"},
            "resource_schema": semconv.SCHEMA_URL,
            "scope": {"name": semconv.SCOPE_NAME, "version": VERSION},
            "destination": self._destination,
        }

    def is_ours(self, via: str) -> bool:
        """True for a request that this daemon has sent."""
        return self.instance in (name.strip() for name in via.split(","))

    def keep(self, spans: list[HeardSpan]) -> int | None:
        """Write spans; how many were refused for good, or None when the disk does not take them now."""
        refused = 0
        with self._lock:
            for span in spans:
                if span.key in self._seen:
                    self._seen.move_to_end(span.key)
                    self.again += 1
                    continue
                too_large = self._writer.dropped.get("too_large", 0)
                # A Resource of no bytes would stand for the header's: one that is empty says so with an empty field.
                resource = span.resource or _NO_ATTRIBUTES
                if self._writer.write(SPAN, encode_span(span.scope, span.schema_url, resource, span.span)):
                    self._seen[span.key] = None
                elif self._writer.dropped.get("too_large", 0) > too_large:
                    refused += 1
                else:
                    return None
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return refused

    def close(self) -> None:
        """End the journal."""
        self._writer.close()


_NO_ATTRIBUTES = b"\x10\x00"  # dropped_attributes_count = 0
