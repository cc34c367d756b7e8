"""Caps: what becomes a series, what overflows, and that a bomb of names fills nothing."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from otel_workflow.bridge.metrics import Began, Limits, MetricsWriter
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
    assert 402 == len(names)  # 400 that came first, deploy, and the overflow; lint came after a bomb each time
    assert sizes[1] - sizes[0] < 4 * 1024 * 1024


def test_a_name_that_comes_back_in_another_run_gets_a_reserved_place(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(phases=20, reserved=5))
    for trace in range(1, 11):
        writer.finished(phase_finished(999, "lint", trace=trace + 100))
        for number in range(100):
            writer.finished(phase_finished(number, f"step-{trace}-{number}", trace=trace))
            writer.finished(phase_finished(number + 500, f"step-{trace}-{number}", trace=trace))  # twice in one run
    first = born(writer)
    assert 10 == first[phases("lint")]
    writer = open_writer(limits=Limits(phases=2, reserved=1))
    for number in (1, 2, 3):
        for trace in (51, 52, 53):
            writer.finished(phase_finished(number, f"new-{number}", trace=trace))
    page = born(writer)
    assert (10, first[OVERFLOWN] + 9) == (page[phases("lint")], page[OVERFLOWN])


def test_the_second_run_of_a_late_phase_gives_it_a_place(open_writer: Open) -> None:
    writer = open_writer(limits=Limits(phases=3, reserved=1))
    for trace in (1, 2, 3):
        for number, name in enumerate((f"id-{trace}", "lint")):
            writer.finished(phase_finished(number, name, trace=trace))
        if trace == 1:
            writer.finished(phase_finished(7, "late", trace=trace))
        else:
            writer.finished(phase_finished(7, "late", trace=trace))
    page = born(writer)
    assert (3, 2) == (page[phases("lint")], page[phases("late")])
    assert 9 == counted(page)


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
