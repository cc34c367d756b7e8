"""What others publish on the bus becomes phases: the way in for engines that have a bus already.

A published ``started`` opens a phase under the current one, keyed by subject and ``step_id``; an
end with the same key ends it. An event whose key is open already, or without a known
transition, is a span event of the current phase. The original bus's quirks stand in one table.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import attach

from otel_workflow.events import END_TRANSITIONS, Event, Outcome
from otel_workflow.guard import text_of
from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.lifecycle import begin, finish
from otel_workflow.instrumentation.phases import INERT, Phase
from otel_workflow.instrumentation.recorder import Recorder
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.semconv import CONTRADICTION, REPORTED

__all__ = ("Published",)

_NAMES = ("name", "strategy", "phase", "hook", "hook_name", "step_id")
"""Payload keys that name a phase, best first."""
_RUN = "workflow"
_ENDED_BY_RUN = ("workflow.quality",)
"""Subjects that have no ``failed`` of their own: they fail as ``workflow.failed`` with their step_id."""
_TOLERANCE_S, _TOLERANCE = 0.05, 0.1
"""Durations closer than 50 ms or a tenth are no disagreement."""
_BAD_WORDS = ("failed", "failure", "error", "timeout")


class Published:
    """Follows the events of one bus and keeps the phases they opened.

    ``own_times`` takes the times that the events carry, for a bus whose events arrive late; a
    live bus has the recorder's clock.
    """

    def __init__(self, recorder: Recorder, *, own_times: bool = False) -> None:
        self._recorder = recorder
        self._own_times = own_times
        self._open: dict[tuple[str, str], Phase] = {}
        self._turn = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Take one published event; the bus guards this call."""
        subject, transition = event.subject, event.transition
        step = text_of(event.payload.get("step_id", ""))
        with self._turn:
            if transition == "started" and (subject, step) not in self._open:
                self._start(event, subject, step)
                return
            phase = self._ended(subject, step, transition)
        if phase is None:
            self._note(event)
        elif transition == "progress":
            self._progress(phase, event.payload)
        else:
            self._end(phase, event, transition or "completed")

    def _start(self, event: Event, subject: str, step: str) -> None:
        payload = event.payload
        name = next((text_of(payload[key]) for key in _NAMES if payload.get(key)), subject)
        outer = None if current() is not None else self._open.get((_RUN, ""))
        spec = Spec(
            name, is_run=subject == _RUN, subject=subject, payload=_scalars(payload), parent=outer, source=event.source,
            published=True,
        )
        phase = begin(spec, self._recorder, self._time(event))
        attach(phase.previous)  # a published start makes nothing current
        self._open[subject, step if subject != _RUN else ""] = phase

    def _ended(self, subject: str, step: str, transition: str | None) -> Phase | None:
        """Return the open phase an event belongs to; an end takes it off."""
        if transition is None or transition == "started":
            return None
        subjects = (*_ENDED_BY_RUN, subject) if subject == _RUN and step else (subject,)
        for known in subjects:
            key = (known, "" if known == _RUN else step)
            if key in self._open:
                return self._open.pop(key) if transition in END_TRANSITIONS else self._open[key]
        return None

    def _end(self, phase: Phase, event: Event, transition: str) -> None:
        outcome, reason = _verdict(event.payload, transition)
        phase.ending = _scalars(event.payload)
        _compare_durations(phase, event.payload.get("duration"), self._time(event) or self._recorder.clock.now()[0])
        if outcome is Outcome.FAILURE:
            phase.fail(reason)
        elif outcome is Outcome.ERROR:
            phase.error(reason)
        elif outcome is Outcome.CANCELLATION:
            phase.cancel(reason)
        elif outcome is Outcome.SKIP:
            phase.skip(reason)
        finish(phase, None, self._time(event))

    def _time(self, event: Event) -> int | None:
        return event.time_ns if self._own_times else None

    def _progress(self, phase: Phase, payload: Mapping[str, Any]) -> None:
        phase.progress(payload.get("done", 0), payload.get("total"), text_of(payload.get("message", "")))

    def _note(self, event: Event) -> None:
        phase = current() or self._open.get((_RUN, "")) or INERT
        phase.span.add_event(event.type, _scalars(event.payload), self._time(event))


def _compare_durations(phase: Phase, reported: object, end_ns: int) -> None:
    """Keep the reported duration beside the observed one, and flag a disagreement."""
    if not isinstance(reported, int | float) or isinstance(reported, bool):
        return
    observed = (end_ns - phase.start_ns) / 1e9
    phase.set_attribute(REPORTED, float(reported))
    if abs(observed - reported) > max(_TOLERANCE_S, abs(observed) * _TOLERANCE):
        phase.set_attribute(CONTRADICTION, f"reported {reported:.3f} s, observed {observed:.3f} s")


def _verdict(payload: Mapping[str, Any], transition: str) -> tuple[Outcome, str]:
    """Tell the outcome: the transition's, unless the payload says that a completion was none."""
    reason = text_of(payload.get("error") or payload.get("reason") or "")
    if transition == "skipped":
        return Outcome.SKIP, reason
    if transition == "cancelled":
        return Outcome.CANCELLATION, reason
    if transition == "interrupted":
        return Outcome.ERROR, reason
    status = text_of(payload.get("status", "")).lower()
    if transition == "failed" or payload.get("success") is False or status in _BAD_WORDS:
        return Outcome.FAILURE, reason
    return Outcome.SUCCESS, reason


def _scalars(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what can be recorded of a payload; live objects of the publisher stay with it."""
    kept = (str, bool, int, float, list, tuple)
    return {text_of(key): value for key, value in payload.items() if isinstance(value, kept)}
