"""What others publish on the bus becomes phases: the way in for engines that have a bus already.

A published ``started`` opens a phase under the current one, keyed by subject and ``step_id`` (hooks
also by strategy and hook); an end with the same key ends it. Where nothing is current it belongs to
the published phase that is open around it: hooks to their strategy, a strategy to its step, all to
the run. An event whose key is open already, or without a known transition, is a span event. The
original bus's quirks stand in the tables below.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.context import attach

from otel_workflow.events import END_TRANSITIONS, Event, Outcome
from otel_workflow.guard import text_of
from otel_workflow.instrumentation.context import current
from otel_workflow.instrumentation.lifecycle import begin, finish
from otel_workflow.instrumentation.phases import INERT, Phase
from otel_workflow.instrumentation.recorder import Recorder
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.semconv import CONTRADICTION, REPORTED
from otel_workflow.values import clean_attributes, clean_text

__all__ = ("Published",)

_NAMES = ("name", "hook", "hook_name", "strategy", "phase", "step_name", "step_id", "workflow_id")
"""Payload keys that name a phase, best first."""
_RUN = "workflow"
_PARTS: Mapping[str, tuple[str, ...]] = {
    "hooks.strategy": ("step_id", "strategy"),
    "hooks.execution": ("step_id", "strategy", "hook"),
    _RUN: (),
}
"""Payload keys that tell phases of a subject apart; ``step_id`` for all others. An end needs the first or the last."""
_ALIASES = {"strategy": "stage", "hook": "hook_name"}
_INSIDE: Mapping[str, tuple[str, ...]] = {
    "hooks.strategy": ("hooks.strategy", "workflow.quality"),
    "hooks.execution": ("hooks.strategy", "workflow.quality"),
}
"""Subjects of the phases around one that is published while nothing is current, nearest first; then the run."""
_ENDED_BY_RUN = ("workflow.quality", "workflow.config", "workflow.publish", "workflow.commit")
"""Subjects that have no ``failed`` of their own: they fail as ``workflow.failed`` with their step_id."""
_TOLERANCE_S, _TOLERANCE = 0.05, 0.1
"""Durations closer than 50 ms or a tenth are no disagreement."""
_BAD_WORDS = ("failed", "failure", "error", "timeout")

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Subject and what tells the phase from others of it."""


class Published:
    """Follows the events of one bus and keeps the phases they opened.

    ``own_times`` takes the times that the events carry, for a bus whose events arrive late; a
    live bus has the recorder's clock.
    """

    def __init__(self, recorder: Recorder, *, own_times: bool = False) -> None:
        self.recorder = recorder
        self._own_times = own_times
        self._open: dict[Key, Phase] = {}
        self._failed: WeakKeyDictionary[Phase, dict[Key, int]] = WeakKeyDictionary()
        """Inside which phase which attempt of what has failed."""
        self._turn = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Take one published event; the bus guards this call."""
        transition = event.transition
        key = _key(event.subject, event.payload)
        with self._turn:
            if transition == "started" and not self._is_open(key, event):
                self._start(event, key)
                return
            found = self._find(key, event) if transition not in (None, "started") else None
            phase = self._open[found] if found is not None else None
            if found is not None and transition in END_TRANSITIONS:
                del self._open[found]
        if phase is None or found is None:
            self._note(event, key)
        elif transition == "progress":
            self._progress(phase, event.payload)
        elif transition in END_TRANSITIONS:
            self._end(phase, found, event, transition or "completed")
        else:
            self._add_to(phase, event)

    # -- which phase ------------------------------------------------------------------------------

    def _is_open(self, key: Key, event: Event) -> bool:
        """Tell whether a start is news, or only says again what is open: here or by ``phase()`` itself."""
        if key in self._open:
            return True
        here: Phase | None = current()
        step = event.payload.get("step_id")
        if here is None or not step or here._spec.subject not in ("phase", event.subject):
            return False
        return bool((here._spec.payload or {}).get("step_id") == step)

    def _find(self, key: Key, event: Event) -> Key | None:
        """Return the open phase that an event belongs to: the same key, else the newest that agrees with it."""
        subject, parts = key
        step = event.payload.get("step_id")
        if subject == _RUN and step:
            run = self._open.get(key)
            if run is not None and (run._spec.payload or {}).get("step_id") == step:
                return key
            wanted = (("step_id", text_of(step)),)
            return next((k for k in reversed(self._open) if k[0] in _ENDED_BY_RUN and k[1] == wanted), None)
        if key in self._open:
            return key
        names = _PARTS.get(subject, ("step_id",))
        enough = {names[0], names[-1]} if names else set()
        for known in reversed(self._open):
            if known[0] == subject and enough & dict(known[1]).keys() & dict(parts).keys() and _agree(known[1], parts):
                return known
        return None

    def _around(self, key: Key) -> Phase | None:
        """Return the published phase around one with this key; None to let the context say it."""
        subject, parts = key
        if subject == _RUN:
            return None
        here: Phase | None = current()
        for outer in (*_INSIDE.get(subject, ()), _RUN):
            for known in reversed(self._open):
                if known[0] == outer and _agree(known[1], parts) and (here is None or _is_in(self._open[known], here)):
                    return self._open[known]
        return None

    # -- what becomes of it -----------------------------------------------------------------------

    def _start(self, event: Event, key: Key) -> None:
        payload = event.payload
        name = next((text_of(payload[key]) for key in _NAMES if payload.get(key)), event.subject)
        outer = self._around(key)
        spec = Spec(
            name, is_run=event.subject == _RUN, subject=event.subject, payload=_scalars(payload), parent=outer,
            source=event.source, published=True, attempt=self._attempt(key, outer or current(), payload),
        )  # fmt: skip
        phase = begin(spec, self.recorder, at_ns=self._time(event))
        attach(phase._previous)  # a published start makes nothing current
        self._open[key] = phase

    def _attempt(self, key: Key, outer: Phase | None, payload: Mapping[str, Any]) -> int:
        """Count attempts: the payload's own count, else one more than what failed in the same place."""
        told = payload.get("attempt")
        if isinstance(told, int) and not isinstance(told, bool) and told > 0:
            return told
        return 1 + (self._failed.get(outer, {}).get(key, 0) if outer is not None else 0)

    def _end(self, phase: Phase, key: Key, event: Event, transition: str) -> None:
        payload = event.payload
        if key[0] == _RUN:
            self._end_inner(phase, event)
        outcome, reason = _verdict(payload, transition)
        marks = phase._marked()
        failed_inside = tuple(marks.handed)
        marks.ending = _scalars(payload)
        end_ns = self._time(event) or self.recorder.clock.now()[0]
        _flag(phase, payload, end_ns, failed_inside if outcome is Outcome.SUCCESS else ())
        if outcome is Outcome.FAILURE and (reason or not failed_inside):
            phase.fail(reason)
        elif outcome is Outcome.ERROR:
            phase.error(reason)
        elif outcome is Outcome.CANCELLATION:
            phase.cancel(reason)
        elif outcome is Outcome.SKIP:
            phase.skip(reason)
        bad = outcome in (Outcome.FAILURE, Outcome.ERROR) or (outcome is Outcome.SUCCESS and failed_inside)
        if bad and phase._outer is not None:
            self._failed.setdefault(phase._outer, {})[key] = phase._spec.attempt
        finish(phase, None, self._time(event))

    def _end_inner(self, run: Phase, event: Event) -> None:
        """End what is still open inside a run that ends: nobody will do it any more."""
        with self._turn:
            left = [key for key in reversed(self._open) if _is_in(self._open[key], run)]
            phases = [self._open.pop(key) for key in left]
        for phase in phases:
            phase.cancel("its run ended first")
            finish(phase, None, self._time(event))

    def _time(self, event: Event) -> int | None:
        return event.time_ns if self._own_times else None

    def _progress(self, phase: Phase, payload: Mapping[str, Any]) -> None:
        phase.progress(payload.get("done", 0), payload.get("total"), text_of(payload.get("message", "")))

    def _note(self, event: Event, key: Key) -> None:
        with self._turn:
            phase = current() or self._open.get(key) or self._around(key) or self._open.get((_RUN, ())) or INERT
        self._add_to(phase, event)

    def _add_to(self, phase: Phase, event: Event) -> None:
        # Cleaned here and not only by the span: in the SDK lane it is a foreign one, which masks nothing.
        phase.span.add_event(clean_text(event.type, 1024), clean_attributes(_scalars(event.payload)), self._time(event))


def _key(subject: str, payload: Mapping[str, Any]) -> Key:
    parts = []
    for name in _PARTS.get(subject, ("step_id",)):
        value = payload.get(name) or payload.get(_ALIASES.get(name, name))
        if value:
            parts.append((name, text_of(value)))
    return subject, tuple(parts)


def _agree(some: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]]) -> bool:
    known = dict(some)
    return all(known.get(name, value) == value for name, value in others)


def _is_in(phase: Phase, outer: Phase) -> bool:
    found = phase._outer
    while found is not None and found is not outer:
        found = found._outer
    return found is outer


def _flag(phase: Phase, payload: Mapping[str, Any], end_ns: int, failed_inside: Iterable[str]) -> None:
    """Keep the reported duration beside the observed one, and say where report and observation disagree."""
    found = []
    reported = payload.get("duration")
    if isinstance(reported, int | float) and not isinstance(reported, bool):
        observed = (end_ns - phase._start_ns) / 1e9
        phase.set_attribute(REPORTED, float(reported))
        # A result from a cache tells how long it took when it was made.
        if not payload.get("cached") and abs(observed - reported) > max(_TOLERANCE_S, abs(observed) * _TOLERANCE):
            found.append(f"reported {reported:.3f} s, observed {observed:.3f} s")
    if payload.get("success") is True and (names := ", ".join(failed_inside)):
        found.append(f"reported success, but failed inside: {names}")
    if found:
        phase.set_attribute(CONTRADICTION, "; ".join(found))


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
