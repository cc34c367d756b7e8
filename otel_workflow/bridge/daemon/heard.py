"""What an OTLP request says about runs and phases: spans and log events become facts.

Anybody's spans count if they carry the CI/CD conventions' names: a SERVER span with
``cicd.pipeline.name`` and ``cicd.pipeline.run.id`` is a run, a span with
``cicd.pipeline.task.name`` is a phase. Pipeline and run id may stand on the Resource instead, as
some receivers have it. A log record is read when its ``event_name`` is ``<subject>.<transition>``
(``workflow.started``, ``phase.failed``, ``workflow.heartbeat``).

Field numbers are those of ``trace.proto``, ``logs.proto`` and ``common.proto``. Whatever is no
protobuf message raises ValueError; a span or record that only makes no sense is counted in
``rejected``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from otel_workflow import semconv
from otel_workflow.bridge.metrics import Began, Finished
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.events import END_TRANSITIONS, Outcome, split_type

__all__ = ("Heard", "HeardSpan", "hear_logs", "hear_traces")

_SERVER, _STATUS_ERROR = 2, 2
_KEY = 1 << 3 | 2
_LATE_VERDICT = "otel_workflow.late_verdict"
_WANTED = {
    name.encode(): name
    for name in (
        semconv.PIPELINE_NAME,
        semconv.PIPELINE_RUN_ID,
        semconv.PIPELINE_RESULT,
        semconv.TASK_NAME,
        semconv.TASK_RESULT,
        semconv.ERROR_TYPE,
        semconv.ATTEMPT,
        semconv.DETAIL,
        semconv.DURATION,
        semconv.INTERRUPTED,
        _LATE_VERDICT,
    )
}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_OUTCOME_OF = {
    "completed": Outcome.SUCCESS,
    "failed": Outcome.FAILURE,
    "skipped": Outcome.SKIP,
    "cancelled": Outcome.CANCELLATION,
    "interrupted": Outcome.ERROR,
}
_double = struct.Struct("<d").unpack


@dataclass(frozen=True, slots=True)
class HeardSpan:
    """A span as it came, with what it stood under; ``key`` tells it from every other span."""

    key: bytes
    scope: bytes
    schema_url: bytes
    resource: bytes
    span: bytes


@dataclass(slots=True)
class Heard:
    """What one request said. ``alive`` are the traces (hex) that it gives evidence of.

    ``ended`` are log events of an end without a duration: (trace id, span id, outcome, error type,
    time in ns), which count when the start is known. ``late`` counts corrections of verdicts.
    """

    began: list[Began] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    ended: list[tuple[str, str, str, str | None, int]] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    spans: list[HeardSpan] = field(default_factory=list)
    late: int = 0
    rejected: int = 0

    @property
    def counts(self) -> bool:
        """True when something of it changes a number."""
        return bool(self.began or self.finished or self.ended or self.late)


def hear_traces(body: bytes, *, keep_spans: bool = False) -> Heard:
    """Read an ``ExportTraceServiceRequest``; ``keep_spans`` also keeps each span as it came.

    Raises ValueError for what is none.
    """
    heard = Heard()
    for resource, resource_attributes, scoped in _groups(body):
        for scope, schema_url, spans in scoped:
            for span in spans:
                facts = _span_facts(span, resource_attributes, heard)
                if facts is not None and keep_spans:
                    heard.spans.append(HeardSpan(facts, scope, schema_url, resource, span))
    return heard


def hear_logs(body: bytes) -> Heard:
    """Read an ``ExportLogsServiceRequest``; raises ValueError for what is none."""
    heard = Heard()
    for _, resource_attributes, scoped in _groups(body):
        for _, _, records in scoped:
            for record in records:
                _log_facts(record, resource_attributes, heard)
    return heard


_Scoped = tuple[bytes, bytes, list[bytes]]


def _groups(body: bytes) -> Iterator[tuple[bytes, dict[str, Any], list[_Scoped]]]:
    """Yield resource bytes, its attributes that matter, and (scope, schema URL, items) below it.

    Traces and logs have the same numbers down to their items.
    """
    for group in _messages(body, 1):
        resource, scoped = b"", list[_Scoped]()
        for number, value in wire_fields(group):
            if number == 1 and isinstance(value, bytes):
                resource += value  # protobuf merges a message that comes twice
            elif number == 2 and isinstance(value, bytes):
                scoped.append(_scope(value))
        yield resource, _attributes(_messages(resource, 1)), scoped


def _scope(message: bytes) -> _Scoped:
    scope, schema_url, items = b"", b"", list[bytes]()
    for number, value in wire_fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            scope += value
        elif number == 2:
            items.append(value)
        elif number == 3:
            schema_url = value
    return scope, schema_url, items


def _messages(message: bytes, number: int) -> list[bytes]:
    return [value for found, value in wire_fields(message) if found == number and isinstance(value, bytes)]


def _attributes(pairs: list[bytes]) -> dict[str, Any]:
    """Return the attributes that matter here, by name."""
    found: dict[str, Any] = {}
    for pair in pairs:
        # Nearly always the key comes first and is short: most attributes are not ours, and are passed over at once.
        if len(pair) > 2 and pair[0] == _KEY and pair[1] < 128 and pair[2 : 2 + pair[1]] not in _WANTED:
            continue
        key, value = None, b""
        for number, part in wire_fields(pair):
            if number == 1:
                key = _WANTED.get(part) if isinstance(part, bytes) else None
            elif number == 2 and isinstance(part, bytes):
                value = part
        if key is not None:
            found[key] = _value(value)
    return found


def _value(message: bytes) -> Any:
    for number, value in wire_fields(message):
        if number == 1 and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if number == 2:
            return bool(value)
        if number == 3 and isinstance(value, int):
            return value - (1 << 64) if value >> 63 else value
        if number == 4 and isinstance(value, bytes) and len(value) == 8:
            return _double(value)[0]
    return None


def _time(value: int | bytes) -> int:
    return int.from_bytes(value, "little") if isinstance(value, bytes) and len(value) == 8 else 0


# ---- spans ------------------------------------------------------------------------------


def _span_facts(span: bytes, resource: dict[str, Any], heard: Heard) -> bytes | None:
    """Add what a span says to ``heard``; returns its key, or None when it is no span."""
    fields: dict[int, int | bytes] = {}
    pairs: list[bytes] = []
    for number, value in wire_fields(span):
        if number == 9 and isinstance(value, bytes):
            pairs.append(value)
        else:
            fields[number] = value
    trace, own = fields.get(1, b""), fields.get(2, b"")
    start, end = _time(fields.get(7, 0)), _time(fields.get(8, 0))
    if not (_is_id(trace, 16) and _is_id(own, 8)) or not 0 < start <= end:
        heard.rejected += 1
        return None
    trace_id, span_id = bytes(trace).hex(), bytes(own).hex()
    heard.alive.add(trace_id)
    attributes = _attributes(pairs)
    if _LATE_VERDICT in attributes:  # corrects a span that was counted under another id
        heard.late += 1
    else:
        finished = _finished(trace_id, span_id, fields, attributes, resource)
        if finished is not None:
            heard.finished.append(finished)
    return bytes(trace) + bytes(own) + end.to_bytes(8, "little")


def _is_id(value: int | bytes, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length and any(value)


def _finished(
    trace_id: str, span_id: str, fields: dict[int, int | bytes], attributes: dict[str, Any], resource: dict[str, Any]
) -> Finished | None:
    subject = _subject(attributes, resource)
    if subject is None:
        return None
    is_run, workflow, name = subject
    if is_run and not _is_run_span(fields, attributes):
        return None
    result = attributes.get(semconv.PIPELINE_RESULT if is_run else semconv.TASK_RESULT)
    error_type = attributes.get(semconv.ERROR_TYPE)
    return Finished(
        trace_id,
        span_id,
        is_run,
        workflow,
        name,
        "run" if is_run else _text(attributes.get(semconv.DETAIL)) or "phase",
        (_OUTCOMES.get(str(result)) or _outcome_of_status(fields.get(15, b""))).value,
        error_type if isinstance(error_type, str) and error_type else None,
        _time(fields[7]),
        _time(fields[8]),
        attempt=_attempt(attributes),
        interrupted=attributes.get(semconv.INTERRUPTED) is True,
    )


def _subject(attributes: dict[str, Any], resource: dict[str, Any]) -> tuple[bool, str, str] | None:
    """Return (is a run, pipeline, phase's name) of a span or log event; None when it is about neither."""
    workflow = _text(attributes.get(semconv.PIPELINE_NAME)) or _text(resource.get(semconv.PIPELINE_NAME))
    name = _text(attributes.get(semconv.TASK_NAME))
    if name:
        return False, workflow, name
    run_id = attributes.get(semconv.PIPELINE_RUN_ID) or resource.get(semconv.PIPELINE_RUN_ID)
    return (True, workflow, "") if workflow and run_id else None


def _is_run_span(fields: dict[int, int | bytes], attributes: dict[str, Any]) -> bool:
    """True for a SERVER span that says so itself; any server inside a job shares the job's Resource."""
    said = semconv.PIPELINE_NAME in attributes or semconv.PIPELINE_RESULT in attributes
    return fields.get(6) == _SERVER and (said or not fields.get(4))


def _outcome_of_status(status: int | bytes) -> Outcome:
    code = dict(wire_fields(status)).get(3, 0) if isinstance(status, bytes) else 0
    return Outcome.FAILURE if code == _STATUS_ERROR else Outcome.SUCCESS


def _attempt(attributes: dict[str, Any]) -> int:
    attempt = attributes.get(semconv.ATTEMPT)
    return attempt if isinstance(attempt, int) and attempt > 0 else 1


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# ---- log events -------------------------------------------------------------------------


def _log_facts(record: bytes, resource: dict[str, Any], heard: Heard) -> None:
    fields: dict[int, int | bytes] = {}
    pairs: list[bytes] = []
    for number, value in wire_fields(record):
        if number == 6 and isinstance(value, bytes):
            pairs.append(value)
        else:
            fields[number] = value
    trace, own, event = fields.get(9, b""), fields.get(10, b""), fields.get(12, b"")
    if not _is_id(trace, 16):
        return  # an ordinary log record: not ours to judge
    trace_id, span_id = bytes(trace).hex(), bytes(own).hex() if _is_id(own, 8) else ""
    heard.alive.add(trace_id)
    transition = split_type(event.decode("utf-8", "replace"))[1] if isinstance(event, bytes) else None
    subject = _subject(attributes := _attributes(pairs), resource)
    time_ns = _time(fields.get(1, 0)) or _time(fields.get(11, 0))
    if not span_id or not time_ns or subject is None:
        return
    is_run, workflow, name = subject
    detail = "run" if is_run else _text(attributes.get(semconv.DETAIL)) or "phase"
    if transition == "started":
        heard.began.append(Began(trace_id, span_id, is_run, workflow, name, detail, time_ns))
    elif transition in END_TRANSITIONS:
        _log_end(heard, Began(trace_id, span_id, is_run, workflow, name, detail, 0), transition, time_ns, attributes)


def _log_end(heard: Heard, what: Began, transition: str, time_ns: int, attributes: dict[str, Any]) -> None:
    """Take an end that a log event reports: final if it says how long it took, else when the start is known."""
    result = attributes.get(semconv.PIPELINE_RESULT if what.is_run else semconv.TASK_RESULT)
    outcome = (_OUTCOMES.get(str(result)) or _OUTCOME_OF[transition]).value
    error_type = _text(attributes.get(semconv.ERROR_TYPE)) or None
    seconds = attributes.get(semconv.DURATION)
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        heard.ended.append((what.trace_id, what.span_id, outcome, error_type, time_ns))
        return
    heard.finished.append(
        Finished(
            what.trace_id,
            what.span_id,
            what.is_run,
            what.workflow,
            what.name,
            what.detail,
            outcome,
            error_type,
            max(time_ns - round(seconds * 1e9), 0),
            time_ns,
            attempt=_attempt(attributes),
            interrupted=transition == "interrupted",
        )
    )
