"""The one fold: events → runs and their phases, read by bridge, live view and report alike.

A merge, not a state machine. Each phase is the join of what is known about it: the earliest
start, the strongest end, the set of its other events. Events may come twice, in any order, late,
or in part: the result is the same. An end that was observed beats one that was inferred from a
death; of two observed ends the earlier one counts and the other is kept as a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from otel_workflow.events import END_TRANSITIONS, Event, Outcome, PhaseFacts

__all__ = ("PhaseRun", "Run", "RunStore")


@dataclass(slots=True)
class PhaseRun:
    """One phase as far as it is known; ids are hex, times integer ns since the epoch."""

    trace_id: str
    span_id: str
    owner: str = ""
    start: Event | None = None
    end: Event | None = None
    others: dict[str, Event] = field(default_factory=dict)
    contradictions: dict[str, Event] = field(default_factory=dict)
    lost_ns: int | None = None
    lost_type: str = "killed"
    children: list[PhaseRun] = field(default_factory=list)

    def add(self, event: Event, owner: str) -> None:
        """Merge one event; merging it again changes nothing."""
        transition = event.transition
        if transition == "started":
            self.owner = owner or self.owner
            if self.start is None or _order(event) < _order(self.start):
                self.start = event
        elif transition in END_TRANSITIONS:
            self._add_end(event)
            self.owner = self.owner or owner
        else:
            self.others[event.id] = event
            self.owner = self.owner or owner

    def _add_end(self, event: Event) -> None:
        if self.end is None or event == self.end:
            self.end = event
            return
        first, second = sorted((self.end, event), key=_order)
        self.end = first
        self.contradictions[second.id] = second

    @property
    def any_event(self) -> Event:
        """An event that carries the phase's facts; the start if there is one."""
        return self.start or self.end or next(iter(self.others.values()))

    @property
    def facts(self) -> PhaseFacts:
        """The facts of its start, or of whatever is known when the start was lost."""
        facts = self.any_event.facts
        return facts if facts is not None else PhaseFacts(name=self.any_event.type, start_ns=self.start_ns)

    @property
    def name(self) -> str:
        """The phase's or workflow's name."""
        return self.facts.name

    @property
    def parent_id(self) -> str | None:
        """The id of the phase it belongs to, as the producer saw it."""
        span = self.any_event.span
        return self.facts.parent_phase or (span.parent_span_id if span else None)

    @property
    def start_ns(self) -> int:
        """When it began."""
        facts = self.any_event.facts
        return facts.start_ns if facts is not None else self.any_event.time_ns

    @property
    def is_open(self) -> bool:
        """True while no end is known and its owner is not known to be gone."""
        return self.end is None and self.lost_ns is None

    @property
    def interrupted(self) -> bool:
        """True when it never ended because its process did."""
        return self.end is None and self.lost_ns is not None

    @property
    def end_ns(self) -> int | None:
        """When it ended; for an interrupted phase the last evidence of life; None while open."""
        if self.end is not None:
            return max(self.end.time_ns, self.start_ns)
        if self.lost_ns is None:
            return None
        latest = max((event.time_ns for event in self.others.values()), default=0)
        return max(self.lost_ns, latest, self.start_ns)

    @property
    def duration_ns(self) -> int | None:
        """How long it took, never negative; None while open."""
        end = self.end_ns
        return None if end is None else end - self.start_ns

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, None while open; an interrupted phase ended in an error of the system."""
        if self.end is not None and self.end.facts is not None:
            return self.end.facts.outcome
        return Outcome.ERROR if self.interrupted else None

    @property
    def reason(self) -> str:
        """Why it ended as it did, in its own words; empty when an inner phase gave the verdict."""
        if self.end is not None and self.end.facts is not None:
            return "" if self.end.facts.handed else self.end.facts.reason
        return "its process was killed" if self.interrupted else ""

    @property
    def error_type(self) -> str | None:
        """The class of the failure, as ``error.type`` carries it."""
        if self.end is not None and self.end.facts is not None:
            return self.end.facts.error_type
        return self.lost_type if self.interrupted else None


def _order(event: Event) -> tuple[int, str, str]:
    return event.time_ns, event.id, event.type


@dataclass(slots=True)
class Run:
    """One execution of a workflow: all phases of one trace.

    ``root`` is None when only phases are known, for example in a child process whose parent's
    journal is elsewhere; ``top`` holds the phases without a known parent, the root among them.
    """

    trace_id: str
    top: list[PhaseRun]
    root: PhaseRun | None

    @property
    def name(self) -> str:
        """The workflow's name, or the first phase's where no run was opened."""
        first = self.root or self.top[0]
        return first.facts.workflow or first.name

    @property
    def run_id(self) -> str:
        """The run's id: the one it was given, else the trace id."""
        return (self.root or self.top[0]).any_event.run_id or self.trace_id

    @property
    def start_ns(self) -> int:
        """When the first of it began."""
        return min(phase.start_ns for phase in self.top)

    @property
    def end_ns(self) -> int | None:
        """When the root ended, or the last phase where there is no root; None while open."""
        if self.root is not None:
            return self.root.end_ns
        ends = [phase.end_ns for phase in self.top]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def outcome(self) -> Outcome | None:
        """The root's outcome; without a root the first phase's that is not a success."""
        if self.root is not None:
            return self.root.outcome
        outcomes = [phase.outcome for phase in self.top]
        if None in outcomes:
            return None
        return next((o for o in outcomes if o is not Outcome.SUCCESS), Outcome.SUCCESS)

    def walk(self) -> Iterator[tuple[int, PhaseRun]]:
        """Yield (depth, phase) in the order a reader expects: by start, parents first."""
        stack = [(0, phase) for phase in reversed(self.top)]
        while stack:
            depth, phase = stack.pop()
            yield depth, phase
            stack.extend((depth + 1, child) for child in reversed(phase.children))


class RunStore:
    """Merges events into phases and hands out runs."""

    def __init__(self) -> None:
        self.phases: dict[tuple[str, str], PhaseRun] = {}

    def add(self, event: Event, owner: str = "") -> PhaseRun | None:
        """Merge an event; ``owner`` names the process that recorded it. Returns its phase, if any."""
        if event.span is None:
            return None
        key = event.span.trace_id, event.span.span_id
        phase = self.phases.get(key)
        if phase is None:
            phase = self.phases[key] = PhaseRun(*key)
        phase.add(event, owner)
        return phase

    def owner_gone(self, owner: str, evidence_ns: int, error_type: str = "killed") -> list[PhaseRun]:
        """Close every open phase of a process that is proven dead; returns those it closed."""
        closed = [phase for phase in self.phases.values() if phase.owner == owner and phase.is_open]
        for phase in closed:
            phase.lost_ns, phase.lost_type = evidence_ns, error_type
        return closed

    def discard(self, phase: PhaseRun) -> None:
        """Forget a phase that nobody will ask for again."""
        self.phases.pop((phase.trace_id, phase.span_id), None)

    def runs(self) -> list[Run]:
        """Return all runs, oldest first, each with its tree of phases."""
        by_trace: dict[str, list[PhaseRun]] = {}
        for phase in sorted(self.phases.values(), key=lambda p: (p.start_ns, p.span_id)):
            phase.children = []
            by_trace.setdefault(phase.trace_id, []).append(phase)
        runs = [self._run(trace_id, phases) for trace_id, phases in by_trace.items()]
        return sorted(runs, key=lambda run: (run.start_ns, run.trace_id))

    def _run(self, trace_id: str, phases: list[PhaseRun]) -> Run:
        top = []
        for phase in phases:
            parent = self.phases.get((trace_id, phase.parent_id or ""))
            (top if parent is None or parent is phase else parent.children).append(phase)
        root = next((p for p in top if p.facts.is_run and not p.facts.nested), None)
        return Run(trace_id, top or phases[:1], root)
