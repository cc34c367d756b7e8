"""What a pump reads from and what it hands out: sources, and spans that wait as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from otel_workflow.bridge.otlp import encode_request, go_on
from otel_workflow.journal.reader import Record

__all__ = ("Counted", "Group", "Progress", "Remembered", "Said", "Source", "Waiting", "request_of")

_BREATH = 64  # spans; grouping one takes some 0.2 us

Group = tuple[bytes, str, bytes, str]
"""Resource bytes, their schema URL, scope bytes, their schema URL."""

Said = tuple[str, str, bytes]
"""Which process recorded it, the name of the source it stands in, and an event record's payload."""


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


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a pump must know to read on where another one stopped, at a moment when nothing waited.

    ``read`` says up to where, by source; ``newest`` when each process last recorded something (ns);
    ``said`` what is known of open phases; ``ended`` which phases are over, with marks of their ends.
    """

    read: dict[str, int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    ended: dict[bytes, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """Spans that were counted and not sent, and when the oldest of them began (ns; 0 if there is none).

    ``keys`` are those of the spans that are remembered by keys; ``cursor`` is a mark of the positions that
    were acknowledged then.
    """

    cursor: int
    spans: int = 0
    oldest_ns: int = 0
    keys: frozenset[str] = frozenset()


def request_of(batch: list[Waiting], breathe: Callable[[], object] = go_on) -> bytes:
    """Return an ExportTraceServiceRequest with these spans, grouped by resource and scope.

    ``breathe`` is called all along: a large request takes milliseconds to put together.
    """
    groups: dict[Group, list[bytes]] = {}
    group: Group | None = None
    spans: list[bytes] = []
    for number, waiting in enumerate(batch):
        if not number % _BREATH:
            breathe()
        if waiting.group is not group:  # nearly always the last one's
            group = waiting.group
            spans = groups.setdefault(group, [])
        spans.append(waiting.span)
    return encode_request(((*group, spans) for group, spans in groups.items()), breathe)
