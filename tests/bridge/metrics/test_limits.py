"""Caps: what becomes a series, what overflows, and that a bomb of names fills nothing."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from otel_workflow.bridge.metrics import Began, Limits, MetricsWriter
from otel_workflow.bridge.metrics.met import Met
from tests.bridge.metrics.making import START_NS, phase_finished, run_finished, samples, scrape

Open = Callable[..., MetricsWriter]
OVERFLOWN = 'otel_workflow_phase_duration_seconds_count{cicd_pipeline_name="ci",otel_metric_overflow="true"}'
TOTAL = 'otel_workflow_phase_duration_seconds_count{otel_metric_overflow="true"}'


def phases(name: str, workflow: str = "ci") -> str:
    labels = f'cicd_pipeline_name="{workflow}",cicd_pipeline_task_name="{name}"'
    return f"otel_workflow_phase_duration_seconds_count{{{labels}}}"


def born(writer: MetricsWriter) -> dict[str, float]:
    writer.commit()
    scrape(writer)
    return samples(writer.page().body)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def counted(page: dict[str, float]) -> float:
    """Every phase that was counted, in whichever series."""
    return sum(value for name, value in page.items() if name.startswith("otel_workflow_phase_duration_seconds_count"))


def test_items_make_no_series(open_writer: Open) -> None:
    writer = open_writer()
    before = born(writer)
    for number in range(2_000):
        item = phase_finished(number, f"test_{number}", detail="item")
        began = Began(item.trace_id, item.span_id, False, "ci", item.name, "item", START_NS)
        assert writer.began(began)
        assert writer.finished(item)
    assert before == born(writer)


def test_more_names_than_a_pipeline_may_have_are_counted_in_its_overflow(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(phases=20, reserved=5))
    for number in range(100):
        writer.finished(phase_finished(number, f"step-{number}", "failure", "E"))
    writer.finished(phase_finished(1, "lint", workflow="other", trace=2))
    page = born(writer)
    assert (85, 1, 1) == (page[OVERFLOWN], page[phases("step-14")], page[phases("lint", "other")])
    assert phases("step-15") not in page
    assert 101 == counted(page)
    runs = 'otel_workflow_phase_runs_total{cicd_pipeline_name="ci",cicd_pipeline_task_run_result="failure",'
    assert 85 == page[f'{runs}otel_metric_overflow="true"}}']
    assert 170 == page["otel_workflow_bridge_overflow_total{}"]


def test_a_cardinality_bomb_leaves_memory_flat_and_a_declared_phase_visible(open_writer: Open) -> None:
    """Cardinality bomb (phase names with ids): 100,000 names, RSS flat, the declared phase still visible."""
    writer = open_writer(limits=Limits(declared=frozenset(("deploy",))))
    sizes = []
    for trace in range(1, 101):
        for number in range(1_000):
            writer.finished(phase_finished(number, f"step-{trace}-{number}", trace=trace))
        writer.finished(phase_finished(5_000, "lint", trace=trace))
        writer.finished(phase_finished(5_001, "deploy", trace=trace))
        writer.commit()
        if trace in (50, 100):  # at the first the caches of recent keys and names are full
            sizes.append(resident_bytes())
    page = born(writer)
    assert 100_200 == counted(page)
    assert 100 == page[phases("deploy")]
    names = {name for name in page if name.startswith("otel_workflow_phase_duration_seconds_count")}
    assert 403 == len(names)  # the 400 that came first, deploy, lint, and the overflow
    assert 98 == page[phases("lint")]  # which came back after a bomb each time, and is believed from the third on
    assert sizes[1] - sizes[0] < 4 * 1024 * 1024


def test_a_name_that_comes_back_in_other_runs_gets_a_reserved_place(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(phases=20, reserved=5))
    for trace in range(1, 11):
        for number in range(100):
            for attempt in (0, 500, 700):  # three times, but in one run
                writer.finished(phase_finished(number + attempt, f"step-{trace}-{number}", trace=trace))
        writer.finished(phase_finished(999, "lint", trace=trace))
    first = born(writer)
    assert 8 == first[phases("lint")]
    assert 17 == len([name for name in first if name.startswith(phases("x")[:48])])  # 15, lint and the overflow
    writer = open_writer(limits=Limits(phases=20, reserved=5))
    writer.finished(phase_finished(1, "lint", trace=50))
    assert 9 == born(writer)[phases("lint")]  # it keeps its place


def test_reserved_places_are_bounded_too(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(phases=3, reserved=2))
    for trace in range(1, 11):
        for number in range(6):
            writer.finished(phase_finished(number, f"p{number}", trace=trace))
    page = born(writer)
    assert [True, True, True, False] == [phases(f"p{number}") in page for number in range(4)]
    assert 60 == counted(page)


def test_a_million_names_are_told_from_those_met_before_in_bounded_memory() -> None:
    met = Met()
    assert not met.again(("ci", "lint"))
    mistaken = sum(met.again(("ci", f"step-{number}")) for number in range(100_000))
    assert mistaken < 10
    assert met.again(("ci", "lint"))
    met._count = 1_000_000  # this generation is full
    assert met.again(("ci", "lint"))
    assert met.again(("ci", "step-7"))
    met._count = 1_000_000
    assert met.again(("ci", "lint")), "it was met again in the last generation"
    assert not met.again(("ci", "step-8")), "two generations ago"


def test_error_types_of_a_pipeline_are_bounded(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(error_types=3))
    for number in range(10):
        writer.finished(run_finished(number, "failure", f"E{number}"))
        writer.finished(phase_finished(number, "lint", "failure", f"E{number}"))
    page = born(writer)
    errors = {name: value for name, value in page.items() if name.startswith("cicd_pipeline_run_errors_total")}
    assert [7, 1, 1, 1] == sorted(errors.values(), reverse=True)
    assert 7 == errors['cicd_pipeline_run_errors_total{cicd_pipeline_name="ci",error_type="_OTHER"}']
    causes = [value for name, value in page.items() if name.startswith("otel_workflow_phase_runs_total") and value]
    assert [7, 1, 1, 1] == sorted(causes, reverse=True)


def test_all_series_are_bounded_runs_have_room_that_phases_do_not_get(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(series=60))
    for number in range(1_000):
        writer.finished(phase_finished(number, f"p{number}", workflow=f"w{number % 100}"))
    for number in range(100):
        writer.finished(run_finished(number, workflow=f"w{number}"))
    page = born(writer)
    assert len(writer._table) < 60 + 25
    assert 1_000 == counted(page)
    assert page[TOTAL] > 900
    finished = {n: v for n, v in page.items() if n.startswith("otel_workflow_run_finished_total")}
    assert 100 == sum(finished.values())
    assert 1 == finished['otel_workflow_run_finished_total{cicd_pipeline_name="w0"}']


def test_pipelines_are_bounded(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(pipelines=2))
    for number in range(5):
        writer.finished(run_finished(number, "failure", "E", workflow=f"w{number}", queued_ns=START_NS))
        writer.finished(phase_finished(number, workflow=f"w{number}", attempt=2))
    page = born(writer)
    for name in (
        "otel_workflow_run_finished_total",
        "otel_workflow_phase_runs_total",
        "cicd_pipeline_run_errors_total",
    ):
        assert 3 == page[f'{name}{{otel_metric_overflow="true"}}']
    assert 5 == counted(page)


def test_a_long_name_is_cut(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(label=10))
    writer.finished(phase_finished(1, "a" * 10))
    writer.finished(phase_finished(2, "a" * 11))
    page = born(writer)
    assert (1, 1) == (page[phases("a" * 10)], page[phases("a" * 9 + "…")])
