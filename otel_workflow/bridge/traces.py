"""Builds the span of a phase from what the fold knows of it: the one way a phase's span is made.

Pure: the same events give the same bytes, live, shipped later, by another process, or after a
kill. The root of a run is a SERVER span that carries all a search needs; every other phase is
INTERNAL (semantic conventions for CI/CD pipelines, 1.44).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from otel_workflow import semconv
from otel_workflow.between import KEPT
from otel_workflow.bridge.span_data import SpanData, SpanEvent, SpanLink
from otel_workflow.events import Event, Outcome, PhaseFacts, SpanRef
from otel_workflow.runs import PhaseRun, error_type_of, outcome_of, reason_of

__all__ = ("MARKER_AFTER_NS", "MAX_EVENTS", "correction_of", "marker_of", "span_of")

INTERNAL, SERVER = 1, 2
UNSET, OK, ERROR = 0, 1, 2
MARKER_AFTER_NS = 10_000_000_000
"""A run that lasts this long (ns) gets a marker span, so that it can be found while it runs."""
MAX_EVENTS = KEPT
"""So many events between its start and its end a span shows: what the SDK's limit is by default."""
_ERRORS = (Outcome.FAILURE, Outcome.ERROR, Outcome.TIMEOUT)


def span_of(phase: PhaseRun, *, under_phase: bool = False) -> SpanData:
    """Return the finished span of a phase that has ended or is known to be interrupted.

    ``under_phase`` passes over a library's span between the phase and the one that encloses it:
    a span that was open in the library died with the process, and nobody is to be its child.
    """
    facts = phase.facts
    ended = phase.end.facts if phase.end is not None else None
    ref = phase.any_event.span
    parent = ref.parent_span_id if ref is not None else None
    if under_phase and facts.parent_phase:
        parent = facts.parent_phase
    is_run = facts.is_run and not facts.nested
    outcome = phase.outcome or Outcome.ERROR
    # A span of no length looks broken in Jaeger, so one that began with the last evidence of life gets
    # 1 ns; so does every other that was interrupted with it, or it would outlast its parent.
    end_ns = max((phase.end_ns or 0) + phase.interrupted, phase.start_ns + 1)
    events, cut = _events(phase, ended, outcome, end_ns)
    return SpanData(
        trace_id=bytes.fromhex(phase.trace_id),
        span_id=bytes.fromhex(phase.span_id),
        parent_span_id=bytes.fromhex(parent or ""),
        name=semconv.run_span_name(facts.action, facts.workflow or facts.name) if is_run else facts.name,
        kind=SERVER if is_run else INTERNAL,
        start_ns=phase.start_ns,
        end_ns=end_ns,
        attributes=_attributes(phase, facts, ended, outcome, is_run=is_run),
        events=events,
        links=_links(facts, ended),
        status_code=_status(ended, outcome),
        status_message=_status_message(phase, ended, outcome),
        trace_state=ref.trace_state if ref is not None else "",
        parent_is_remote=bool(ref and ref.parent_is_remote),
        dropped_attributes=ended.dropped[0] if ended else 0,
        dropped_events=cut + (ended.dropped[1] if ended else 0),
        dropped_links=ended.dropped[2] if ended else 0,
        trace_flags=ref.trace_flags if ref is not None else 1,
    )


def _attributes(
    phase: PhaseRun, facts: PhaseFacts, ended: PhaseFacts | None, outcome: Outcome, *, is_run: bool
) -> dict[str, Any]:
    run_id = phase.any_event.run_id or phase.trace_id
    made: dict[str, Any] = {}
    if is_run:
        made.update(semconv.run_attributes(facts.workflow or facts.name, run_id, facts.action))
    else:
        made.update(semconv.task_attributes(facts.name, phase.span_id, facts.task_type, facts.attempt, facts.detail))
        if facts.workflow:
            made[semconv.PIPELINE_NAME] = facts.workflow
        made[semconv.PIPELINE_RUN_ID] = run_id
    if facts.inferred:
        made[semconv.PARENT_INFERRED] = True
    made.update(facts.attributes)
    if ended is not None:
        made.update(ended.attributes)
    reason = ended.reason if ended is not None else phase.reason
    made.update(semconv.end_attributes(outcome, is_run=is_run, reason=reason, error_type=phase.error_type))
    if phase.interrupted:
        made[semconv.INTERRUPTED] = True
        made[semconv.END_ESTIMATED] = True
    if phase.contradictions:
        said = made.get(semconv.CONTRADICTION)  # a publisher's own: reported against observed
        found = [said] if isinstance(said, str) else []
        made[semconv.CONTRADICTION] = "; ".join([*found, *map(_also_reported, phase.contradictions.values())])
    return made


def _also_reported(end: Event) -> str:
    reason = reason_of(end)
    return f"also reported as {outcome_of(end).value}" + (f": {reason}" if reason else "")


def _contradiction(phase: PhaseRun, end: Event, outcome: Outcome) -> SpanEvent:
    """Return the event of an end that does not count, under the name it would have if it did."""
    name, attributes = semconv.lifecycle_event(
        phase.any_event.subject,
        outcome_of(end),
        duration_ns=max(end.time_ns - phase.start_ns, 0),
        reason=reason_of(end),
        error_type=error_type_of(end),
        interrupted=end.transition == "interrupted",
    )
    attributes[semconv.CONTRADICTION] = f"{outcome.value} counts"
    return SpanEvent(end.time_ns, name, {**attributes, **_extra(end)})


def _events(
    phase: PhaseRun, ended: PhaseFacts | None, outcome: Outcome, end_ns: int
) -> tuple[tuple[SpanEvent, ...], int]:
    """Start, what happened between, and the end, by time, and how many were left out; names as on the bus.

    Of more than 128 between the first and the last 64 are shown: a phase that reports progress ten
    times a second for a day would be a span that no backend takes. The journal keeps all of them.
    """
    subject = phase.any_event.subject
    name, attributes = semconv.lifecycle_event(subject, None)
    made = [SpanEvent(phase.start_ns, name, {**attributes, **_extra(phase.start)})]
    between = [
        SpanEvent(time_ns, name, attributes) for time_ns, name, attributes in (ended.span_events if ended else ())
    ]
    between += [_other(event) for event in phase.others]
    between += [_contradiction(phase, event, outcome) for event in phase.contradictions.values()]
    between.sort(key=lambda event: (event.time_ns, event.name))
    happened = len(between) + phase.others.hidden
    if len(between) > MAX_EVENTS:
        between[MAX_EVENTS // 2 : -MAX_EVENTS // 2] = []
    cut = happened - len(between)
    made += between
    name, attributes = semconv.lifecycle_event(
        subject,
        outcome,
        duration_ns=end_ns - phase.start_ns,
        reason=ended.reason if ended else phase.reason,
        error_type=phase.error_type,
        interrupted=phase.interrupted,
    )
    return (*made, SpanEvent(end_ns, name, {**attributes, **_extra(phase.end)})), cut


_KNOWN = ("name", "attempt", "timestamp", "duration", "success", "error", "error_type", "attributes")
"""Payload keys that the span says in its own way."""


def _extra(event: Event | None) -> dict[str, Any]:
    """What a publisher added to an event's payload."""
    return {k: v for k, v in event.payload.items() if k not in _KNOWN} if event is not None else {}


def _other(event: Event) -> SpanEvent:
    """A progress report, a retry, or an event of the user's own."""
    return SpanEvent(event.time_ns, event.type, _extra(event))


def _links(facts: PhaseFacts, ended: PhaseFacts | None) -> tuple[SpanLink, ...]:
    made = (*facts.links, *(ended.links if ended else ()))
    return tuple(SpanLink(bytes.fromhex(trace), bytes.fromhex(span), attributes) for trace, span, attributes in made)


def _status(ended: PhaseFacts | None, outcome: Outcome) -> int:
    """Unset on success, as the specification asks of instrumentation; a user's OK stays OK."""
    if outcome in _ERRORS:
        return ERROR
    return OK if ended is not None and ended.status_ok else UNSET


def _status_message(phase: PhaseRun, ended: PhaseFacts | None, outcome: Outcome) -> str:
    if outcome not in _ERRORS:
        return ""
    return ended.reason if ended is not None else phase.reason


def marker_of(phase: PhaseRun) -> SpanData:
    """Return the small finished span by which a long run is found while its root is still open.

    It has an id of its own, derived from the root's, no parent, no result, and a link to the root.
    """
    from hashlib import blake2b  # seldom wanted, and it brings OpenSSL

    digest = blake2b(bytes.fromhex(phase.trace_id + phase.span_id), digest_size=8, person=b"ow-marker")
    facts = phase.facts
    run_id = phase.any_event.run_id or phase.trace_id
    root = SpanLink(
        bytes.fromhex(phase.trace_id), bytes.fromhex(phase.span_id), {semconv.LINK_KIND: "root"}, remote=False
    )
    return SpanData(
        trace_id=bytes.fromhex(phase.trace_id),
        span_id=digest.digest(),
        name="run started",
        kind=INTERNAL,
        start_ns=phase.start_ns,
        end_ns=phase.start_ns + 1_000,
        attributes=semconv.run_attributes(facts.workflow or facts.name, run_id, facts.action),
        links=(root,),
    )


def correction_of(end: Event, *, corrects: bool) -> SpanData:
    """Return the span that says what an end said which came when its phase's span was made already.

    One id is never sent in two versions, so it has its own, derived from the phase's. It is made
    from that one event alone, since who reads it after a restart may know no other, and stands
    below the span it is about, which is certain to have been sent. Never a run's root: a run is
    counted once. ``corrects`` says that the phase was called interrupted and was not; else it had
    ended already, and this end contradicts the first.
    """
    ref = end.span or SpanRef("0" * 32, "0" * 16)
    phase = PhaseRun(ref.trace_id, ref.span_id)
    phase.add(end, "")
    span = span_of(phase)
    from hashlib import blake2b  # seldom wanted, and it brings OpenSSL

    digest = blake2b(span.trace_id + span.span_id, digest_size=8, person=b"ow-correction")
    kind = semconv.LINK_CORRECTS if corrects else semconv.LINK_CONTRADICTS
    original = SpanLink(span.trace_id, span.span_id, {semconv.LINK_KIND: kind}, remote=False)
    return replace(
        span,
        span_id=digest.digest(),
        parent_span_id=span.span_id,
        parent_is_remote=False,
        kind=INTERNAL,
        attributes={**span.attributes, semconv.LATE_VERDICT: True},
        links=(original, *span.links),
    )
