"""The one fold: events → runs and their phases, read by bridge, live view and report alike.

A merge, not a state machine. Each phase is the join of what is known about it: the earliest
start, the strongest end, the set of its other events. Events may come twice, in any order, late,
or in part: the result is the same. An end that was observed beats one that was inferred from a
death; of two observed ends the earlier one counts and the other is kept as a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from otel_workflow.between import Between, order_of
from otel_workflow.events import END_TRANSITIONS, Event, Outcome, PhaseFacts

__all__ = ("PhaseRun", "Run", "RunStore", "error_type_of", "is_before", "outcome_of", "reason_of")

_OUTCOMES = {
    "completed": Outcome.SUCCESS,
    "failed": Outcome.FAILURE,
    "skipped": Outcome.SKIP,
    "cancelled": Outcome.CANCELLATION,
    "interrupted": Outcome.ERROR,
}
_DEATHS = {"killed": "its process was killed", "lost": "nothing was heard of its process any more"}


@dataclass(slots=True)
class PhaseRun:
    """One phase as far as it is known; ids are hex, times integer ns since the epoch.

    ``owner`` is the process that recorded its start, or the earliest of what is known instead.
    ``others`` and ``contradictions`` are in the order of their times, the latter by id.
    """

    trace_id: str
    span_id: str
    owner: str = ""
    start: Event | None = None
    end: Event | None = None
    others: Between = field(default_factory=Between)
    contradictions: dict[str, Event] = field(default_factory=dict)
    lost_ns: int | None = None
    lost_type: str = "killed"
    children: list[PhaseRun] = field(default_factory=list)
    _owned: tuple[bool, int, str, str] | None = None

    def add(self, event: Event, owner: str) -> None:
        """Merge one event; merging it again changes nothing."""
        transition = event.transition
        self._own(event, owner, started=transition == "started")
        if transition == "started":
            if self.start is None or is_before(event, self.start):
                self.start = event
        elif transition in END_TRANSITIONS:
            self._add_end(event)
        else:
            self.others.add(event)

    def _own(self, event: Event, owner: str, *, started: bool) -> None:
        claim = not started, event.time_ns, event.id, owner
        if owner and (self._owned is None or claim < self._owned):
            self._owned, self.owner = claim, owner

    def _add_end(self, event: Event) -> None:
        if self.end is None or event == self.end:
            self.end = event
            return
        earlier = is_before(event, self.end)
        first, second = (event, self.end) if earlier else (self.end, event)
        self.end = first
        self.contradictions = _with(self.contradictions, second)
        self.contradictions.pop(first.id, None)

    @property
    def any_event(self) -> Event:
        """An event that carries the phase's facts; the start if there is one."""
        return self.start or self.end or next(iter(self.others))

    @property
    def facts(self) -> PhaseFacts:
        """The facts of its start, or of whatever is known when the start was lost."""
        event = self.any_event
        if event.facts is not None:
            return event.facts
        name, attempt = event.payload.get("name"), event.payload.get("attempt")
        return PhaseFacts(
            name=name if isinstance(name, str) and name else event.type,
            start_ns=event.time_ns,
            attempt=attempt if isinstance(attempt, int) else 1,
        )

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
        return max(self.lost_ns, self.others.latest_ns, self.start_ns)

    @property
    def duration_ns(self) -> int | None:
        """How long it took, never negative; None while open."""
        end = self.end_ns
        return None if end is None else end - self.start_ns

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, None while open; an interrupted phase ended in an error of the system."""
        if self.end is None:
            return Outcome.ERROR if self.interrupted else None
        return outcome_of(self.end)

    @property
    def reason(self) -> str:
        """Why it ended as it did, in its own words; empty when an inner phase gave the verdict."""
        if self.end is None:
            return _DEATHS.get(self.lost_type, _DEATHS["killed"]) if self.interrupted else ""
        return reason_of(self.end)

    @property
    def error_type(self) -> str | None:
        """The class of the failure, as ``error.type`` carries it."""
        if self.end is None:
            return self.lost_type if self.interrupted else None
        return error_type_of(self.end)


def outcome_of(end: Event) -> Outcome:
    """Return how a phase ended by this one end."""
    if end.facts is not None and end.facts.outcome is not None:
        return end.facts.outcome
    return _OUTCOMES.get(end.transition or "", Outcome.ERROR)


def reason_of(end: Event) -> str:
    """Return why an end says it came; empty when an inner phase gave the verdict."""
    if end.facts is not None:
        return "" if end.facts.handed else end.facts.reason
    return _text(end, "error") or ""


def error_type_of(end: Event) -> str | None:
    """Return the class of the failure that an end reports."""
    return end.facts.error_type if end.facts is not None else _text(end, "error_type")


def _text(event: Event, key: str) -> str | None:
    value = event.payload.get(key)
    return value if isinstance(value, str) else None


def is_before(event: Event, other: Event) -> bool:
    """True if an event comes first; two that differ in nothing but their content are ordered by that."""
    one, two = order_of(event), order_of(other)
    return one < two if one != two else event != other and repr(event) < repr(other)


def _with(events: dict[str, Event], event: Event) -> dict[str, Event]:
    """Return the events and this one, in the order of their times; of two with one id the first stays."""
    known = events.get(event.id)
    if known is not None and not is_before(event, known):
        return events
    return {each.id: each for each in sorted([*events.values(), event], key=order_of) if each is not known}


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
        """Yield (depth, phase) in the order a reader expects: by start, parents first; each once."""
        stack = [(0, phase) for phase in reversed(self.top)]
        seen: set[str] = set()  # a damaged journal may hold parents in a circle
        while stack:
            depth, phase = stack.pop()
            if phase.span_id in seen:
                continue
            seen.add(phase.span_id)
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
        """Close every open phase of a process that is proven dead; returns those it closed.

        Said again with later evidence, it moves the end of those that it has closed.
        """
        mine = [phase for phase in self.phases.values() if phase.owner == owner and phase.end is None]
        closed = [phase for phase in mine if phase.lost_ns is None]
        for phase in mine:
            if phase.lost_ns is None or evidence_ns > phase.lost_ns:
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
        top: list[PhaseRun] = []
        for phase in phases:
            parent = self._parent(phase)
            (top if parent is None else parent.children).append(phase)
        root = next((p for p in top if p.facts.is_run and not p.facts.nested), None)
        run = Run(trace_id, top, root)
        self._open_rings(run, phases)
        return run

    def _parent(self, phase: PhaseRun) -> PhaseRun | None:
        """Its span's parent, if that is a phase; else the phase around the library span it was opened in."""
        span = phase.any_event.span
        direct = self.phases.get((phase.trace_id, (span.parent_span_id if span else None) or ""))
        parent = direct or self.phases.get((phase.trace_id, phase.parent_id or ""))
        return None if parent is phase else parent

    def _open_rings(self, run: Run, phases: list[PhaseRun]) -> None:
        """Phases that claim to be inside each other hang on nothing: one of them goes to the top."""
        reached = {phase.span_id for _, phase in run.walk()}
        for phase in phases:
            if phase.span_id in reached:
                continue
            first, above = phase, set[str]()
            while first.span_id not in above:
                above.add(first.span_id)
                first = self._parent(first) or first
            parent = self._parent(first) or first
            parent.children = [child for child in parent.children if child is not first]
            run.top.append(first)
            reached.update(inner.span_id for _, inner in Run(run.trace_id, [first], None).walk())
