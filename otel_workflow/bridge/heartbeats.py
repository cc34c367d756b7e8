"""What an open run says to a bridge elsewhere, so that its silence can be told from its end.

Log events over OTLP: ``workflow.started`` until that was acknowledged once, and ``workflow.heartbeat``
each time. They carry the ids of the run's span, which tells the end. Nothing here has a thread; who
calls ``turn`` decides when.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from otel_workflow import semconv
from otel_workflow.bridge.otlp import encode_attributes, encode_resource, encode_scope, join_request, text, varint
from otel_workflow.bridge.shipper import Client
from otel_workflow.events import WorkflowEvent
from otel_workflow.version import VERSION

__all__ = ("Heartbeats", "OpenRun", "heartbeat_request")

LOOK = 1.0
"""How often (s) somebody looks whether a run has begun: what is shorter than this says nothing."""
_SEND = 5.0
_NOBODY_TAKES_LOGS = frozenset({404, 405, 415, 501, 12})  # 12 is gRPC's UNIMPLEMENTED
_INFO = b"\x10\x09"  # severity_number
_fixed64 = struct.Struct("<Q").pack


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is open in this process; ``start_ns`` is wall-clock time."""

    trace_id: str
    span_id: str
    workflow: str
    run_id: str
    start_ns: int


class Heartbeats:
    """Says every ``interval`` seconds which runs are open; for one thread.

    ``runs`` tells them, ``resource`` who is speaking. ``over`` becomes True when the other side
    says that it takes no logs at all: a Jaeger, for one. ``pause`` is how long (s) to wait between turns.
    """

    def __init__(
        self,
        client: Client,
        interval: float,
        runs: Callable[[], Sequence[OpenRun]],
        resource: Callable[[], tuple[bytes, str]] = lambda: (encode_resource({}), ""),
        *,
        now: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.over = False
        self.pause = min(interval, LOOK)
        self._interval = interval
        self._runs, self._resource = runs, resource
        self._now, self._monotonic = now, monotonic
        self._announced: set[str] = set()
        self._tried: set[str] = set()
        self._last = 0.0

    def turn(self) -> None:
        """Send what is due."""
        runs = self._runs()
        ids = {run.span_id for run in runs}
        due = not ids <= self._tried or self._monotonic() - self._last >= self._interval
        self._announced &= ids
        self._tried = ids
        if runs and due:
            self._last = self._monotonic()
            self._send(runs)

    def _send(self, runs: Sequence[OpenRun]) -> None:
        body = heartbeat_request(runs, self._announced, self._now(), *self._resource())
        answer = self.client.send(body, deadline=time.monotonic() + min(max(self._interval, LOOK), _SEND))
        if answer.kind == "accepted":
            self._announced.update(run.span_id for run in runs)
        self.over = answer.status in _NOBODY_TAKES_LOGS


def heartbeat_request(
    runs: Iterable[OpenRun], announced: set[str], now_ns: int, resource: bytes, resource_url: str
) -> bytes:
    """Return an ``ExportLogsServiceRequest``; ``announced`` are the span ids whose start is known there."""
    records: list[bytes] = []
    for run in runs:
        if run.span_id not in announced:
            records.append(_record(run, WorkflowEvent.WORKFLOW_STARTED.value, run.start_ns, now_ns))
        records.append(_record(run, WorkflowEvent.WORKFLOW_HEARTBEAT.value, now_ns, now_ns))
    scope = encode_scope(semconv.SCOPE_NAME, VERSION)
    # Traces and logs have the same field numbers down to their items.
    return join_request([(resource, resource_url, [(scope, semconv.SCHEMA_URL, records)])])


def _record(run: OpenRun, event: str, time_ns: int, observed_ns: int) -> bytes:
    """Return a ``LogRecord``; the numbers are those of ``logs.proto``."""
    about = {semconv.PIPELINE_NAME: run.workflow, semconv.PIPELINE_RUN_ID: run.run_id}
    name = text(event)
    return b"".join(
        (
            b"\x09" + _fixed64(time_ns),
            _INFO,
            encode_attributes(b"\x32", about),
            b"\x4a\x10" + bytes.fromhex(run.trace_id),
            b"\x52\x08" + bytes.fromhex(run.span_id),
            b"\x59" + _fixed64(observed_ns),
            b"\x62" + varint(len(name)) + name,
        )
    )
