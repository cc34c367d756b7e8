"""Tells runs to the fold without a process: events with fixed ids, on a clock that starts at noon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_workflow.events import Event, Outcome, PhaseFacts, SpanRef, event_id, transition_of
from otel_workflow.runs import Run, RunStore

NOON = 1_700_049_600_000_000_000
"""2023-11-15 12:00:00 UTC in ns."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Story:
    """A run that is told phase by phase; times in seconds since noon."""

    def __init__(self, name: str = "nightly", *, trace: str = TRACE, run_id: str | None = None) -> None:
        self.name = name
        self.trace = trace
        self.run_id = run_id or trace
        self.store = RunStore()
        self._ids = self._events = 0

    def _event(
        self, kind: str, span: str, parent: str | None, seconds: float, facts: PhaseFacts, payload: Mapping[str, Any]
    ) -> None:
        self._events += 1
        event = Event(
            id=event_id(self.trace, span, self._events),
            type=f"phase.{kind}",
            source="test",
            time_ns=NOON + round(seconds * 1e9),
            run_id=self.run_id,
            phase_id=span,
            payload=payload,
            span=SpanRef(self.trace, span, parent),
            facts=facts,
        )
        self.store.add(event, "owner")

    def starts(self, name: str, at: float, *, inside: str | None = None, **facts: Any) -> str:
        """Open a phase and return its id."""
        self._ids += 1
        span = f"{self._ids:016x}"
        known = PhaseFacts(name=name, start_ns=NOON + round(at * 1e9), workflow=self.name, **facts)
        self._event("started", span, inside, at, known, {})
        return span

    def progress(self, span: str, at: float, **payload: Any) -> None:
        """Report progress of an open phase."""
        phase = self.store.phases[self.trace, span]
        self._event("progress", span, phase.parent_id, at, phase.facts, payload)

    def ends(self, span: str, at: float, outcome: Outcome = Outcome.SUCCESS, reason: str = "", **facts: Any) -> None:
        """End a phase."""
        phase = self.store.phases[self.trace, span]
        start = phase.facts
        ended = PhaseFacts(
            name=start.name,
            start_ns=start.start_ns,
            is_run=start.is_run,
            workflow=start.workflow,
            detail=start.detail,
            attempt=start.attempt,
            outcome=outcome,
            reason=reason,
            **facts,
        )
        self._event(transition_of(outcome), span, phase.parent_id, at, ended, {})

    def whole(
        self,
        name: str,
        begin: float,
        end: float,
        outcome: Outcome = Outcome.SUCCESS,
        reason: str = "",
        *,
        inside: str | None = None,
        **facts: Any,
    ) -> str:
        """Tell a phase from beginning to end."""
        span = self.starts(name, begin, inside=inside, **facts)
        self.ends(span, end, outcome, reason)
        return span

    def root(self, at: float = 0.0) -> str:
        """Open the run itself."""
        return self.starts(self.name, at, is_run=True)

    def owner_dies(self, at: float) -> None:
        """Close what is open as the death of its process."""
        self.store.owner_gone("owner", NOON + round(at * 1e9))

    @property
    def run(self) -> Run:
        """The run as the fold sees it."""
        return self.store.runs()[0]


def night() -> Run:
    """A run in which everything happened that can happen to a phase."""
    story = Story()
    root = story.root()
    story.whole("compile", 0, 3.2, inside=root)
    story.whole("lint", 3.2, 4.4, Outcome.FAILURE, "2 findings: a.py:1 unused\nb.py:7 shadowed", inside=root)
    test = story.starts("test", 3.2, inside=root)
    story.whole("test_empty", 3.3, 3.312, inside=test, detail="item")
    story.whole("test_total", 3.4, 3.4002, Outcome.FAILURE, "AssertionError: 1 != 2", inside=test, detail="item")
    story.ends(test, 10, Outcome.FAILURE, "TestsFailed: 1 of 2 tests failed")
    story.whole("deploy", 10, 125 + 10, Outcome.TIMEOUT, "TimeoutError", inside=root, attempt=2)
    story.whole("notify", 135, 135, Outcome.SKIP, "nobody to tell", inside=root)
    story.whole("tidy", 135, 136, Outcome.CANCELLATION, "interrupted from the keyboard", inside=root)
    story.ends(root, 140, Outcome.FAILURE, "lint: 2 findings", handed=True)
    worker = story.starts("worker", 4, inside=root)
    story.progress(worker, 9, done=3, total=10, message="shards")
    story.owner_dies(11)
    return story.run
