"""A series is shown at 0 first, and what it counts appears only when that 0 was served."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otel_workflow.bridge.metrics import MetricsWriter
from tests.bridge.metrics.making import (
    START_NS,
    Clock,
    phase_finished,
    run_began,
    run_finished,
    samples,
    scrape,
)

Open = Callable[..., MetricsWriter]
FINISHED = 'otel_workflow_run_finished_total{cicd_pipeline_name="ci"}'
STARTED = 'otel_workflow_run_started_total{cicd_pipeline_name="ci"}'


def errors(cause: str) -> str:
    return f'cicd_pipeline_run_errors_total{{cicd_pipeline_name="ci",error_type="{cause}"}}'


def runs(result: str) -> str:
    labels = f'cicd_pipeline_name="ci",cicd_pipeline_result="{result}",cicd_pipeline_run_state="executing"'
    return f"cicd_pipeline_run_duration_seconds_count{{{labels}}}"


def test_a_run_of_50_ms_between_two_scrapes_is_seen_at_0_and_then_at_1(open_writer: Open, clock: Clock) -> None:
    writer = open_writer()
    writer.began(run_began(1))
    clock.advance(0.05)
    writer.finished(run_finished(1, "failure", "ValueError"))
    writer.commit()
    clock.advance(15)
    first = scrape(writer)
    clock.advance(15)
    second = scrape(writer)
    for name in (STARTED, FINISHED, runs("failure"), errors("ValueError")):
        assert (0, 1) == (first[name], second[name]), name


def test_all_six_results_of_a_pipeline_are_born_when_a_run_starts(open_writer: Open) -> None:
    writer = open_writer()
    writer.began(run_began(1))
    writer.commit()
    page = scrape(writer)
    for result in ("success", "failure", "error", "timeout", "cancellation", "skip"):
        assert 0 == page[runs(result)]
    assert 0 == page[errors("_OTHER")]
    writer.finished(run_finished(1, "failure"))
    writer.commit()
    page = scrape(writer)
    assert (1, 0, 1, 1) == (page[runs("failure")], page[runs("success")], page[errors("_OTHER")], page[FINISHED])


def test_runs_that_are_shipped_after_their_end_are_all_counted(open_writer: Open, clock: Clock) -> None:
    writer = open_writer()
    clock.advance(3600)
    for number in range(1, 31):
        writer.finished(run_finished(number))
    writer.commit()
    assert 0 == scrape(writer)[runs("success")]
    assert 30 == scrape(writer)[runs("success")]


def test_the_first_error_of_its_type_is_held_while_the_others_go_on(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1, "failure"))
    writer.commit()
    scrape(writer)
    writer.finished(run_finished(2, "failure", "KeyError"))
    writer.commit()
    page = scrape(writer)
    assert (2, 0) == (page[runs("failure")], page[errors("KeyError")])
    assert 1 == scrape(writer)[errors("KeyError")]


def test_a_page_that_did_not_arrive_releases_nothing_until_the_hold_is_over(open_writer: Open, clock: Clock) -> None:
    writer = open_writer(scrape_interval=15.0)
    writer.finished(run_finished(1))
    writer.commit()
    clock.advance(3600)  # nobody reads: the hold begins with the first page
    assert 0 == samples(writer.page().body)[FINISHED]
    clock.advance(29.9)
    assert 0 == samples(writer.page().body)[FINISHED]
    clock.advance(0.1)
    assert 1 == samples(writer.page().body)[FINISHED]


@pytest.mark.parametrize("hold", [0.0, 5.0])
def test_the_hold_is_a_setting_and_even_without_any_the_first_page_shows_0(
    open_writer: Open, clock: Clock, hold: float
) -> None:
    writer = open_writer(birth_hold=hold)
    writer.finished(run_finished(1))
    writer.commit()
    assert 0 == samples(writer.page().body)[FINISHED]
    clock.advance(hold)
    assert 1 == samples(writer.page().body)[FINISHED]


def test_a_page_made_before_the_series_was_there_does_not_release_it(open_writer: Open) -> None:
    writer = open_writer()
    early = writer.page()
    writer.finished(run_finished(1))
    writer.commit()
    writer.served(early.serial)
    assert 0 == scrape(writer)[FINISHED]
    assert 1 == scrape(writer)[FINISHED]


def test_killed_between_birth_and_release_it_shows_0_again_and_loses_nothing(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1))
    writer.commit()
    assert 0 == samples(writer.page().body)[FINISHED]  # and killed before it was served
    writer = open_writer()
    assert 0 == scrape(writer)[FINISHED]
    assert 1 == scrape(writer)[FINISHED]


def test_killed_after_the_release_it_never_shows_0_again(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1))
    writer.commit()
    scrape(writer)  # served: born, though nothing was committed since
    writer = open_writer()
    assert 1 == scrape(writer)[FINISHED]


def test_a_phase_is_born_with_its_run(open_writer: Open) -> None:
    writer = open_writer()
    for number in (1, 2):
        writer.finished(phase_finished(number, "lint", "failure", "E", start=START_NS))
    writer.commit()
    base = 'otel_workflow_phase_runs_total{cicd_pipeline_name="ci",cicd_pipeline_task_name="lint"'
    failed = f'{base},cicd_pipeline_task_run_result="failure",error_type="E"}}'
    succeeded = f'{base},cicd_pipeline_task_run_result="success"}}'
    first, second = scrape(writer), scrape(writer)
    assert [(0, 0), (2, 0)] == [(page[failed], page[succeeded]) for page in (first, second)]


def test_an_acknowledged_push_releases_as_a_scrape_does(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(run_finished(1))
    writer.commit()
    _, serial = writer.request()
    assert 0 == samples(writer.page().body)[FINISHED]
    writer.pushed(serial)
    assert 1 == samples(writer.page().body)[FINISHED]
