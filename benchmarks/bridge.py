"""What the bridge costs: a journal's bytes in, requests out, beside the naive way in the same run.

Ours reads a segment, checks, folds, builds the spans' bytes and joins requests of at most 1 MiB;
the client is null, there is no network. The naive way gets the same events as JSON lines, makes a
pydantic model of each, an SDK span of each pair, and encodes batches of 512 as the stock exporter
does. One process, CPU time, cases in turn.
"""

from __future__ import annotations

import platform
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode
from pydantic import BaseModel, ConfigDict

from benchmarks.timing import SCALE, in_turns, table
from otel_workflow.bridge.pump import Pump, request_of
from otel_workflow.bridge.shipper import MAX_BYTES, MAX_SPANS
from otel_workflow.bridge.sources import sources_of
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, JournalReader
from otel_workflow.journal.record import SAMPLED, dumps, encode_event
from otel_workflow.journal.writer import JournalWriter

__all__ = ("main",)

PHASES = max(int(20_000 * SCALE), 100)
BUDGET = 16_384
BATCH = 512
BEGAN = 1_700_000_000_000_000_000
TRACE, PARENT = bytes(range(16)), bytes(range(8))
HEADER = {"version": 1, "resource": {"service.name": "bench"}, "scope": {"name": "otel_workflow", "version": "1"}}

Body = dict[str, Any]


def main() -> None:
    """Print events per second and the ratio to the naive way, and what a restart costs."""
    with tempfile.TemporaryDirectory() as place:
        same, other, alone = Path(place, "same"), Path(place, "other"), Path(place, "alone")
        _write(same, varying=False)
        _write(other, varying=True)
        _write(alone, varying=True, alone=True)
        lines = [dumps(line).encode() for line in _lines()]
        cases: list[tuple[str, Callable[[], object]]] = [
            ("naive: pydantic, SDK spans, stock encoding", lambda: _naive(lines)),
            ("bridge, attributes differ in every phase", lambda: _bridge(other)),
            ("bridge, and every phase is outside any run", lambda: _bridge(alone)),
            ("bridge, attributes repeat", lambda: _bridge(same)),
            ("bridge, all acknowledged before: a restart", lambda: _bridge(same, acknowledged=True)),
        ]
        times = {name: value / len(lines) for name, value in in_turns(cases, 1).items()}
    table(f"A journal of {len(lines):,} events: CPU time of one", times, cases[0][0])
    for name, value in times.items():
        print(f"- {name}: {1e6 / value:,.0f} events/s, {times[cases[0][0]] / value:.1f} x naive")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n{platform.machine()}, peak memory of the run {peak / 1024:.0f} MiB")


def _bodies(*, varying: bool, alone: bool = False) -> Iterator[tuple[int, bytes, int, Body]]:
    """Yield (transition, span id, time, body) of twenty definitions that take turns.

    A phase that stands alone has a trace of its own, whose id is its run's.
    """
    now = BEGAN
    for number in range(PHASES):
        span, now = (number + 1).to_bytes(8, "big"), now + 1_000
        run = _own_trace(span).hex() if alone else "0123456789abcdef"
        known: Body = {"name": f"lint {number % 20}", "run": run, "workflow": "nightly"}
        made = {"files": number, "tool": "ruff"} if varying else {"files": 120, "tool": "ruff"}
        yield TRANSITIONS.index("started"), span, now, {**known, "seq": 1}
        ended: Body = {**known, "start": now, "outcome": "success", "attributes": made, "seq": 2}
        yield TRANSITIONS.index("completed"), span, now + 1_000_000 + number, ended


def _own_trace(span: bytes) -> bytes:
    return span * 2


def _write(directory: Path, *, varying: bool, alone: bool = False) -> None:
    writer = JournalWriter(str(directory), lambda: HEADER, sync="never")
    for transition, span, now, body in _bodies(varying=varying, alone=alone):
        trace, parent = (_own_trace(span), bytes(8)) if alone else (TRACE, PARENT)
        writer.write(EVENT, encode_event(transition, SAMPLED, trace, span, parent, now, now, body))
    writer.close()


def _bridge(directory: Path, *, acknowledged: bool = False) -> int:
    """Read the journal as the shipper does, with its budget; returns how many bytes would be sent."""
    sources = sources_of(JournalReader(directory), {})
    pump, size = Pump(), 0
    if acknowledged:
        pump.acknowledged.update({source.name: 1 << 40 for source in sources})
    while True:
        pump.read(sources, budget=BUDGET)
        while pump.waiting:
            batch = pump.batch(MAX_BYTES, MAX_SPANS)
            size += len(request_of(batch))
            pump.settled(batch)
        if not pump.behind:
            break
    assert acknowledged or pump.queued == PHASES
    return size


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    transition: Literal["started", "completed"]
    trace_id: str
    span_id: str
    time_ns: int
    name: str
    run: str
    workflow: str
    seq: int
    start: int | None = None
    outcome: str | None = None
    attributes: dict[str, str | int | float | bool] = {}


def _lines() -> Iterator[Body]:
    for transition, span, now, body in _bodies(varying=False):
        yield {
            "transition": TRANSITIONS[transition],
            "trace_id": TRACE.hex(),
            "span_id": span.hex(),
            "time_ns": now,
            **body,
        }


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def _naive(lines: list[bytes]) -> int:
    """Do what one would write first; returns how many bytes would be sent."""
    provider = TracerProvider(resource=Resource({"service.name": "bench"}), shutdown_on_exit=False)
    kept, size = _Kept(), 0
    provider.add_span_processor(kept)
    tracer = provider.get_tracer("otel_workflow", "1")
    began: dict[str, Span] = {}
    for line in lines:
        event = _Line.model_validate_json(line)
        if event.transition == "started":
            made = {
                "cicd.pipeline.task.name": event.name,
                "cicd.pipeline.task.run.id": event.span_id,
                "cicd.pipeline.name": event.workflow,
                "cicd.pipeline.run.id": event.run,
            }
            span = tracer.start_span(event.name, attributes=made, start_time=event.time_ns)
            span.add_event("phase.started", timestamp=event.time_ns)
            began[event.span_id] = span  # type: ignore[assignment]
            continue
        span = began.pop(event.span_id)
        span.set_attributes({**event.attributes, "cicd.pipeline.task.run.result": event.outcome or ""})
        lasted = {"otel_workflow.duration": (event.time_ns - (event.start or 0)) / 1e9}
        span.add_event("phase.completed", lasted, event.time_ns)
        span.set_status(StatusCode.UNSET)
        span.end(event.time_ns)
        if len(kept.ended) == BATCH:
            size += len(encode_spans(kept.ended).SerializeToString())
            kept.ended.clear()
    return size + len(encode_spans(kept.ended).SerializeToString())
