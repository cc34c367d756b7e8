"""Whatever happens to the writer, each fact counts once and no number ever goes down."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.bridge.metrics import Began, Finished, MetricsWriter
from tests.bridge.metrics.making import (
    OPENMETRICS,
    SECOND,
    START_NS,
    Clock,
    opener,
    phase_finished,
    run_began,
    run_finished,
    samples,
)
from tests.bridge.metrics.truth import truth_of

_OUTCOMES = ("success", "failure", "error", "timeout", "cancellation", "skip")
_COUNTS = ("_total{", "_count{", "_bucket{", "_sum{")
_OWN = "otel_workflow_bridge_"
_RECOVERY = "otel_workflow_run_recovery"  # depends on the order of arrival, and says so

_took = st.sampled_from((0.0, 0.05, 1.0, 59.9, 600.0, 40_000.0))
_causes = st.sampled_from((None, "E1", "E2", "E3"))
_queues = st.sampled_from((None, START_NS - 90 * SECOND))


@st.composite
def _runs(draw: st.DrawFn) -> list[Began | Finished]:
    """The facts of some runs and their phases; some have not ended, some were never seen to begin."""
    facts: list[Began | Finished] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        workflow, queued = draw(st.sampled_from(("ci", "nightly"))), draw(_queues)
        end = run_finished(
            number,
            draw(st.sampled_from(_OUTCOMES)),
            draw(_causes),
            workflow=workflow,
            took=draw(_took),
            queued_ns=queued,
            interrupted=draw(st.booleans()),
        )
        seen = draw(st.sampled_from(("both", "began", "finished")))
        if seen != "finished":
            facts.append(run_began(number, workflow=workflow, queued=queued))
        if seen != "began":
            facts.append(end)
        for phase in range(draw(st.integers(0, 3))):
            done = phase_finished(
                number * 10 + phase,
                draw(st.sampled_from(("lint", "test"))),
                draw(st.sampled_from(_OUTCOMES)),
                draw(_causes),
                trace=number,
                workflow=workflow,
                took=draw(_took),
                retries=draw(st.integers(0, 2)),
            )
            ids = done.trace_id, done.span_id
            facts += [Began(*ids, False, workflow, done.name, "phase", START_NS), done]
    return facts


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("fact"), st.integers(0, 40)),
        st.tuples(st.sampled_from(("commit", "page", "turn", "turn", "scrape", "kill", "wait"))),
    ),
    min_size=10,
    max_size=60,
)


class _Reader:
    """A scraper that has seen every page."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def read(self, writer: MetricsWriter) -> int:
        page = writer.page(OPENMETRICS)
        shown = {name: value for name, value in samples(page.body).items() if any(c in name for c in _COUNTS)}
        assert self.last.keys() <= shown.keys(), "a series has vanished"
        for name, value in shown.items():
            if name not in self.last:
                assert 0 == value, f"{name} was first seen at {value}"
            assert value >= self.last.get(name, 0), f"{name} fell"
        self.last = shown
        return page.serial


def _tell(writer: MetricsWriter, fact: Began | Finished) -> None:
    if isinstance(fact, Began):
        writer.began(fact)
    else:
        writer.finished(fact)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(facts=_runs(), steps=_steps, data=st.data())
def test_any_order_any_duplicates_and_any_kills_come_to_the_truth_and_no_value_ever_falls(
    facts: list[Began | Finished], steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as state:
        clock, reader = Clock(), _Reader()
        open_writer = opener(Path(state), clock)
        writer = open_writer()
        for step, *number in steps:
            if step == "fact":
                _tell(writer, facts[number[0] % len(facts)])
            elif step == "commit":
                writer.commit()
            elif step == "page":
                reader.read(writer)
            elif step == "scrape":
                writer.served(reader.read(writer))
            elif step == "turn":  # what the daemon does all day
                writer.commit()
                writer.served(reader.read(writer))
            elif step == "wait":
                clock.advance(20)
            else:
                writer = open_writer()
        for fact in data.draw(st.permutations(facts)):  # whoever was not told of a success sends again
            _tell(writer, fact)
        writer.commit()
        for _ in range(2):
            writer.served(reader.read(writer))
        reader.read(writer)
        writer.close()
    counted = {name: value for name, value in reader.last.items() if value and "_bucket{" not in name}
    counted = {name: value for name, value in counted.items() if not name.startswith((_OWN, _RECOVERY))}
    sums = {name: value for name, value in counted.items() if "_sum{" in name}
    assert truth_of(facts) == {name: value for name, value in counted.items() if name not in sums}


def test_a_fact_that_differs_in_its_second_telling_counts_as_the_first(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, now=Clock())
    first = run_finished(1, "failure", "E")
    for fact in (first, replace(first, outcome="success", end_ns=first.end_ns + 1)):
        writer.finished(fact)
    writer.commit()
    reader = _Reader()
    for _ in range(2):
        writer.served(reader.read(writer))
    writer.close()
    labels = '{cicd_pipeline_name="ci",cicd_pipeline_result="%s",cicd_pipeline_run_state="executing"}'
    name = f"cicd_pipeline_run_duration_seconds_count{labels}"
    assert (1, 0) == (reader.last[name % "failure"], reader.last[name % "success"])
