"""Remote runs that fall silent are lost; a real end before that wins, one after it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon.heard import hear_logs, hear_traces
from otel_workflow.bridge.daemon.intake import Intake
from otel_workflow.bridge.metrics import MetricsWriter
from tests.bridge.daemon.making import START, log_event, logs, parse, run_span, runs, task_span, total, traces

TRACE = f"{7:032x}"


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> int:
        return START + round((self.seconds - 1000.0) * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[MetricsWriter]:
    made = MetricsWriter(tmp_path, birth_hold=0.0)
    yield made
    made.close()


def intake_of(writer: MetricsWriter, clock: Clock) -> Intake:
    return Intake(writer, lost_after=60.0, grace=30.0, now=clock.now, monotonic=clock.monotonic)


@pytest.fixture
def intake(writer: MetricsWriter, clock: Clock) -> Intake:
    return intake_of(writer, clock)


def shown(writer: MetricsWriter) -> dict[str, float]:
    writer.commit()
    writer.served(writer.page().serial)
    return parse(writer.page().body.decode())


def begin(intake: Intake, trace: int = 7) -> None:
    intake.hear(hear_logs(logs(log_event(trace, "workflow.started"))))


def test_a_run_that_is_silent_is_shown_as_lost_and_counted_after_the_grace(
    intake: Intake, writer: MetricsWriter, clock: Clock
) -> None:
    begin(intake)
    clock.seconds += 59
    assert [] == intake.silent()
    clock.seconds += 2
    assert [TRACE] == [began.trace_id for began in intake.silent()]
    assert 0 == intake.close_the_lost()
    clock.seconds += 30
    assert 1 == intake.close_the_lost()
    found = shown(writer)
    assert (1, 1) == (runs(found), total(found, "cicd_pipeline_run_errors_total", 'error_type="lost"'))
    assert 0 == intake.close_the_lost()


@pytest.mark.parametrize("sign", ["heartbeat", "span"])
def test_a_sign_of_life_keeps_a_run_open(intake: Intake, clock: Clock, sign: str) -> None:
    begin(intake)
    for _ in range(5):
        clock.seconds += 50
        alive = (
            hear_logs(logs(log_event(7, "workflow.heartbeat")))
            if sign == "heartbeat"
            else hear_traces(traces(task_span(7, 2)))
        )
        intake.hear(alive)
    assert ([], 0, 1) == (intake.silent(), intake.close_the_lost(), intake.open_runs)


def test_a_real_end_within_the_grace_wins(intake: Intake, writer: MetricsWriter, clock: Clock) -> None:
    begin(intake)
    clock.seconds += 80
    intake.hear(hear_traces(traces(run_span(7, result="success"))))
    clock.seconds += 80
    assert 0 == intake.close_the_lost()
    found = shown(writer)
    assert (1, 1) == (runs(found), runs(found, "success"))


def test_a_real_end_after_it_was_counted_is_a_late_verdict_and_counts_once(
    intake: Intake, writer: MetricsWriter, clock: Clock
) -> None:
    begin(intake)
    clock.seconds += 100
    intake.close_the_lost()
    for _ in range(2):
        intake.hear(hear_traces(traces(run_span(7, result="success"))))
    found = shown(writer)
    assert (1, 1, 0) == (runs(found), runs(found, "error"), runs(found, "success"))
    assert 1 == found["otel_workflow_bridge_late_verdicts_total"]


def test_an_end_event_without_a_duration_counts_from_the_start_that_was_heard(
    intake: Intake, writer: MetricsWriter
) -> None:
    begin(intake)
    intake.hear(hear_logs(logs(log_event(7, "workflow.completed", second=9))))
    assert 0 == intake.open_runs
    assert 9.0 == total(shown(writer), "cicd_pipeline_run_duration_seconds_sum", 'result="success"')


def test_after_a_restart_an_open_run_is_known_and_has_its_whole_time_again(
    intake: Intake, writer: MetricsWriter, clock: Clock
) -> None:
    begin(intake)
    intake.save()
    writer.commit()
    clock.seconds += 10_000
    again = intake_of(writer, clock)
    assert (1, []) == (again.open_runs, again.silent())
    clock.seconds += 100
    assert 1 == again.close_the_lost()


def test_a_run_that_is_over_is_not_opened_by_a_start_that_comes_again(intake: Intake, clock: Clock) -> None:
    begin(intake)
    intake.hear(hear_traces(traces(run_span(7))))
    begin(intake)
    clock.seconds += 100
    assert (0, 0) == (intake.open_runs, intake.close_the_lost())


def test_a_run_that_a_journal_judges_is_not_lost_by_its_silence(intake: Intake, clock: Clock) -> None:
    begin(intake)
    intake.is_here(TRACE)
    clock.seconds += 1000
    assert ([], 0) == (intake.silent(), intake.close_the_lost())
