"""What a pump reads from and what it hands out: sources, and spans that wait as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from otel_workflow.bridge.otlp import encode_request
from otel_workflow.journal.reader import Record

__all__ = ("Group", "Progress", "Source", "Waiting", "request_of")

Group = tuple[bytes, str, bytes, str]
"""Resource bytes, their schema URL, scope bytes, their schema URL."""


class Source(Protocol):
    """Somewhere records come from: a segment of a directory, or a journal in memory.

    ``death`` is the ``error.type`` of what its owner leaves open when it is gone.
    """

    name: str
    owner: str
    header: dict[str, Any]
    death: str

    def read(self) -> Iterable[Record]:
        """Yield the records that came since the last call."""
        ...

    def is_alive(self) -> bool:
        """True unless its owner is proven to be gone."""
        ...

    def evidence_ns(self) -> int:
        """Return when its owner last showed life."""
        ...

    def note(self, time_ns: int) -> None:
        """Remember the time of a record."""
        ...


@dataclass(slots=True)
class Waiting:
    """One span that waits to be sent, and what its acknowledgement means.

    ``source`` and ``end`` say up to where that segment is then done; both are empty for a span
    that no single record stands for (interrupted, marker), which is remembered by ``key``.
    """

    group: Group
    span: bytes
    source: str = ""
    end: int = 0
    key: str = ""


@dataclass(slots=True)
class Progress:
    """Where reading of one source stands against what was acknowledged.

    ``pending`` are the ends of the records whose spans wait. Everything below the first of them is
    done with, whatever the order in which spans are settled.
    """

    resource: bytes
    acknowledged: int = 0
    read: int = 0
    pending: set[int] = field(default_factory=set)

    def settle(self) -> int:
        """Return up to where the source is done with."""
        done = min(self.pending) - 1 if self.pending else self.read
        self.acknowledged = max(self.acknowledged, done)
        return self.acknowledged


def request_of(batch: list[Waiting]) -> bytes:
    """Return an ExportTraceServiceRequest with these spans, grouped by resource and scope."""
    groups: dict[Group, list[bytes]] = {}
    group: Group | None = None
    spans: list[bytes] = []
    for waiting in batch:
        if waiting.group is not group:  # nearly always the last one's
            group = waiting.group
            spans = groups.setdefault(group, [])
        spans.append(waiting.span)
    return encode_request((*group, spans) for group, spans in groups.items())
