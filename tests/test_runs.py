"""The fold is a merge: any order, any repetition, any split of the same events gives the same runs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.bridge.otlp import encode_span
from otel_workflow.bridge.traces import span_of
from otel_workflow.events import Event, Outcome, PhaseFacts, SpanRef, transition_of
from otel_workflow.runs import Run, RunStore

TRACES = ("0" * 31 + "1", "0" * 31 + "2")
SPANS = tuple(f"{number:016x}" for number in range(1, 6))
OWNERS = ("process-1", "process-2")


def event(
    transition: str | None,
    span: str = SPANS[0],
    *,
    at: int = 10,
    trace: str = TRACES[0],
    parent: str | None = None,
    seq: int = 1,
    **facts: object,
) -> Event:
    """An event of a phase; its facts are those of a phase named after its id."""
    known = {"name": f"phase {span[-1]}", "start_ns": at, **facts}
    return Event(
        id=f"{trace[:16]}-{span}-{seq}",
        type=f"phase.{transition}" if transition else "cache.hit",
        source="test",
        time_ns=at,
        run_id="run-1",
        phase_id=span,
        payload={"name": known["name"], "attempt": 1, "timestamp": at / 1e9, "note": f"{transition}@{at}"},
        span=SpanRef(trace, span, parent),
        facts=PhaseFacts(**known),  # type: ignore[arg-type]
    )


def ended(outcome: Outcome, span: str = SPANS[0], *, at: int = 20, seq: int = 9, **facts: object) -> Event:
    said = {"start_ns": 10, "outcome": outcome, "ended_ns": at, **facts}
    return event(transition_of(outcome), span, at=at, seq=seq, **said)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Event, str]]:
    """What five phases of two traces in two processes may say, whole and sane or not."""
    said: list[tuple[Event, str]] = []
    for _ in range(draw(st.integers(1, 14))):
        span, trace = draw(st.sampled_from(SPANS)), draw(st.sampled_from(TRACES))
        parent = draw(st.none() | st.sampled_from(SPANS))
        kind = draw(st.sampled_from(["started", "progress", None, "retrying", "interrupted", *Outcome]))
        at, seq = draw(st.integers(1, 30)), draw(st.integers(1, 4))
        outcome = kind if isinstance(kind, Outcome) else None
        transition = transition_of(outcome) if outcome else kind
        facts: dict[str, object] = {
            "is_run": draw(st.booleans()),
            "start_ns": draw(st.integers(1, 30)),
            "outcome": outcome,
            "reason": draw(st.sampled_from(["", "why"])),
        }
        made = event(transition, span, at=at, trace=trace, parent=parent, seq=seq, **facts)  # type: ignore[arg-type]
        if draw(st.integers(0, 5)) == 0:
            made = replace(made, facts=None)
        said.append((made, draw(st.sampled_from(OWNERS))))
    return said


def folded(said: Iterable[tuple[Event, str]], evidence: dict[str, int] | None = None) -> RunStore:
    store = RunStore()
    for each, owner in said:
        store.add(each, owner)
    for owner, evidence_ns in (evidence or {}).items():
        store.owner_gone(owner, evidence_ns)
    return store


def rendered(store: RunStore) -> list[object]:
    """Everything that can be said of the runs, down to the bytes of their spans."""
    return [_run(run) for run in store.runs()]


def _run(run: Run) -> object:
    phases = [
        (
            depth,
            *(phase.trace_id, phase.span_id, phase.owner, phase.name, phase.parent_id),
            *(phase.start_ns, phase.end_ns, phase.outcome, phase.reason, phase.error_type),
            *(list(phase.others), len(phase.others), list(phase.contradictions.items())),
            None if phase.is_open else encode_span(span_of(phase)),
        )
        for depth, phase in run.walk()
    ]
    root = run.root.span_id if run.root else None
    return run.trace_id, run.name, run.run_id, run.start_ns, run.end_ns, run.outcome, root, phases


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories(), st.randoms(use_true_random=False), st.sampled_from([{}, {"process-1": 40}, dict.fromkeys(OWNERS, 5)])
)
def test_any_permutation_duplication_and_split_gives_equal_runs_and_byte_identical_spans(
    said: list[tuple[Event, str]], rolled: random.Random, evidence: dict[str, int]
) -> None:
    wanted = rendered(folded(said, evidence))
    again = [*said, *rolled.choices(said, k=len(said))]
    rolled.shuffle(again)
    assert wanted == rendered(folded(again, evidence))
    cut = rolled.randrange(len(again))
    store = folded(again[:cut])
    store.runs()  # a look in between changes nothing
    for each, owner in [*again[cut:], *again[:cut]]:
        store.add(each, owner)
    for owner, evidence_ns in evidence.items():
        store.owner_gone(owner, evidence_ns - 1)
        store.owner_gone(owner, evidence_ns)
    assert wanted == rendered(store)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_every_phase_is_walked_exactly_once_even_where_phases_claim_to_be_in_each_other(
    said: list[tuple[Event, str]],
) -> None:
    store = folded(said)
    walked = [(phase.trace_id, phase.span_id) for run in store.runs() for _, phase in run.walk()]
    assert sorted(store.phases) == sorted(walked)


def only(*said: Event, owner: str = "process-1") -> object:
    store = folded((each, owner) for each in said)
    [phase] = store.phases.values()
    return phase


def test_an_end_without_a_start_is_a_phase_all_the_same() -> None:
    phase = folded([(ended(Outcome.FAILURE, at=25, reason="no"), "process-1")]).phases[TRACES[0], SPANS[0]]
    assert (10, 25, 15, Outcome.FAILURE, "no") == (
        phase.start_ns,
        phase.end_ns,
        phase.duration_ns,
        phase.outcome,
        phase.reason,
    )
    assert (False, False, "process-1") == (phase.is_open, phase.interrupted, phase.owner)


def test_of_two_ends_the_earlier_counts_and_the_other_is_kept_as_a_contradiction() -> None:
    first, second = ended(Outcome.SUCCESS, at=20, seq=2), ended(Outcome.FAILURE, at=21, seq=3)
    for order in ((first, second), (second, first), (second, first, second, first)):
        phase = only(event("started"), *order)
        assert (first, {second.id: second}) == (phase.end, phase.contradictions)  # type: ignore[attr-defined]


@pytest.mark.parametrize("real_at", [15, 25])
def test_a_real_end_beats_an_inferred_one_whenever_it_comes(real_at: int) -> None:
    inferred = event("interrupted", at=20, seq=8, start_ns=10, outcome=Outcome.ERROR)
    real = ended(Outcome.SUCCESS, at=real_at)
    for order in ((inferred, real), (real, inferred)):
        phase = only(event("started"), *order)
        assert (real, Outcome.SUCCESS) == (phase.end, phase.outcome)  # type: ignore[attr-defined]
        assert {inferred.id: inferred} == phase.contradictions  # type: ignore[attr-defined]


def test_a_phase_whose_owner_is_gone_is_interrupted_until_its_real_end_arrives() -> None:
    store = folded([(event("started"), "process-1"), (event("progress", at=14, seq=2), "process-1")])
    [phase] = store.phases.values()
    assert phase.is_open
    assert [phase] == store.owner_gone("process-1", 12)
    assert [] == store.owner_gone("process-1", 11)
    assert (True, 14, Outcome.ERROR, "killed") == (phase.interrupted, phase.end_ns, phase.outcome, phase.error_type)
    assert [] == store.owner_gone("process-1", 18)
    assert (18, "its process was killed") == (phase.end_ns, phase.reason)
    store.add(ended(Outcome.SUCCESS, at=16), "process-1")
    assert (False, 16, Outcome.SUCCESS, None) == (phase.interrupted, phase.end_ns, phase.outcome, phase.error_type)


def test_only_the_phases_of_the_dead_are_closed() -> None:
    store = folded([(event("started", SPANS[0]), "process-1"), (event("started", SPANS[1]), "process-2")])
    assert [SPANS[1]] == [phase.span_id for phase in store.owner_gone("process-2", 50, "oom")]
    assert {SPANS[0]: None, SPANS[1]: "oom"} == {p.span_id: p.error_type for p in store.phases.values()}


def test_a_phase_belongs_to_the_process_that_started_it() -> None:
    said = [(event("progress", at=5, seq=2), "process-2"), (event("started"), "process-1")]
    for order in (said, said[::-1]):
        assert ["process-1"] == [phase.owner for phase in folded(order).phases.values()]


def test_times_never_run_backwards() -> None:
    phase = only(event("started", at=30), ended(Outcome.SUCCESS, at=20))
    assert (30, 30, 0) == (phase.start_ns, phase.end_ns, phase.duration_ns)  # type: ignore[attr-defined]


def test_children_come_in_the_order_of_their_starts_and_parents_before_them() -> None:
    root, late, early, inner = SPANS[:4]
    said = [
        (event("started", late, parent=root, at=30), ""),
        (event("started", inner, parent=late, at=31), ""),
        (event("started", early, parent=root, at=20), ""),
        (event("started", root, is_run=True, workflow="nightly"), ""),
    ]
    [run] = folded(said).runs()
    assert [(0, root), (1, early), (1, late), (2, inner)] == [(depth, phase.span_id) for depth, phase in run.walk()]
    assert (root, "nightly", "run-1") == (run.root.span_id if run.root else None, run.name, run.run_id)
    assert (None, None) == (run.end_ns, run.outcome)


def test_a_phase_may_name_the_phase_it_is_in_beside_its_spans_parent() -> None:
    outer, library, inner = SPANS[:3]
    said = [(event("started", outer), ""), (event("started", inner, parent=library, parent_phase=outer), "")]
    [run] = folded(said).runs()
    assert [(0, outer), (1, inner)] == [(depth, phase.span_id) for depth, phase in run.walk()]


def test_a_phase_inside_a_phase_that_a_library_made_hangs_on_that_one() -> None:
    outer, made, inner = SPANS[:3]
    said = [
        (event("started", outer, at=10), ""),
        (event("started", made, at=11, parent=outer), ""),
        (event("started", inner, at=12, parent=made, parent_phase=outer), ""),
    ]
    [run] = folded(said).runs()
    assert [(0, outer), (1, made), (2, inner)] == [(depth, phase.span_id) for depth, phase in run.walk()]


def test_phases_without_a_root_are_a_run_whose_outcome_is_the_first_that_is_not_a_success() -> None:
    said = [(ended(Outcome.SUCCESS, SPANS[0]), ""), (ended(Outcome.FAILURE, SPANS[1], at=40), "")]
    [run] = folded(said).runs()
    assert (None, Outcome.FAILURE, 40, 10) == (run.root, run.outcome, run.end_ns, run.start_ns)
    [run] = folded([*said, (event("started", SPANS[2]), "")]).runs()
    assert (None, None) == (run.outcome, run.end_ns)


def test_phases_that_claim_to_be_in_each_other_are_opened_at_one_of_them() -> None:
    a, b, below = SPANS[:3]
    said = [
        (event("started", a, parent=b, at=12), ""),
        (event("started", b, parent=a, at=11), ""),
        (event("started", below, parent=a, at=13), ""),
    ]
    for order in (said, said[::-1]):
        [run] = folded(order).runs()
        assert [(0, b), (1, a), (2, below)] == [(depth, phase.span_id) for depth, phase in run.walk()]
    [run] = folded([(event("started", a, parent=a), "")]).runs()
    assert [(0, a)] == [(depth, phase.span_id) for depth, phase in run.walk()]


def test_an_event_from_a_wire_that_knows_no_facts_still_tells_how_the_phase_ended() -> None:
    bare = replace(
        event("failed", at=20), facts=None, payload={"name": "lint", "error": "2 findings", "error_type": "E"}
    )
    phase = only(replace(event("started"), facts=None), bare)
    assert ("phase 1", Outcome.FAILURE, "2 findings", "E", 10, 20) == (
        *(phase.name, phase.outcome, phase.reason, phase.error_type),  # type: ignore[attr-defined]
        *(phase.start_ns, phase.end_ns),  # type: ignore[attr-defined]
    )


def test_an_event_without_a_span_belongs_to_no_phase() -> None:
    store = RunStore()
    assert store.add(replace(event("started"), span=None)) is None
    assert ([], {}) == (store.runs(), store.phases)


def test_what_is_discarded_is_forgotten() -> None:
    store = folded([(event("started"), "")])
    [phase] = store.phases.values()
    store.discard(phase)
    store.discard(phase)
    assert [] == store.runs()
