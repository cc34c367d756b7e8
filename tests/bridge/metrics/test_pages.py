"""What a scraper and an OTLP endpoint are shown: exact values, exemplars, escapes, the same numbers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2

from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.semconv import BOUNDS, METRICS, prometheus_name
from tests.bridge.metrics.making import (
    OPENMETRICS,
    SECOND,
    START_NS,
    Clock,
    phase_finished,
    run_began,
    run_finished,
    samples,
    scrape,
)

Open = Callable[..., MetricsWriter]
LINT = 'otel_workflow_phase_duration_seconds_bucket{cicd_pipeline_name="ci",cicd_pipeline_task_name="lint",le="%s"}'


def born(writer: MetricsWriter) -> str:
    """The page once everything on it is born."""
    writer.commit()
    scrape(writer)
    return writer.page(OPENMETRICS).body.decode()


def test_the_bounds_are_24_ascending_from_a_second_to_eight_hours() -> None:
    assert (24, 1.0, 28_800.0) == (len(BOUNDS), BOUNDS[0], BOUNDS[-1])
    assert all(low < high for low, high in itertools.pairwise(BOUNDS))
    assert 600.0 in BOUNDS


def test_a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed(open_writer: Open) -> None:
    writer = open_writer()
    for number, took in enumerate((0.0, 1.0, 1.000000001, 600.0, 28_800.0, 28_800.000000001)):
        writer.finished(phase_finished(number, took=took))
    page = samples(born(writer))
    wanted = {"1.0": 2, "2.5": 3, "450.0": 3, "600.0": 4, "28800.0": 5, "+Inf": 6}
    assert wanted == {bound: page[LINT % bound] for bound in wanted}


def test_the_sum_is_exact_to_the_nanosecond(open_writer: Open) -> None:
    writer = open_writer()
    for number in range(1000):
        writer.finished(phase_finished(number, took=0.1))
    writer.finished(phase_finished(1000, took=1e-9))
    assert '_sum{cicd_pipeline_name="ci",cicd_pipeline_task_name="lint"} 100.000000001\n' in born(writer)


def test_an_end_before_its_start_lasted_nothing(open_writer: Open) -> None:
    writer = open_writer()
    writer.finished(phase_finished(1, took=-5))
    assert '_sum{cicd_pipeline_name="ci",cicd_pipeline_task_name="lint"} 0\n' in born(writer)


def test_a_bucket_has_the_newest_exemplar_by_the_time_of_its_event(open_writer: Open) -> None:
    writer = open_writer()
    ends = [phase_finished(n, start=START_NS + n * SECOND, took=0.25, trace=n) for n in (1, 3, 2)]
    ends.append(phase_finished(9, took=7, trace=9))
    for end in ends:
        writer.finished(end)
    lines = [line for line in born(writer).splitlines() if line.startswith("otel_workflow_phase_duration")]
    exemplars = [line.partition(" # ")[2] for line in lines if " # " in line]
    assert exemplars == [
        f'{{trace_id="{3:032x}",span_id="{3 | 1 << 40:016x}"}} 0.25 1700000003.25',
        f'{{trace_id="{9:032x}",span_id="{9 | 1 << 40:016x}"}} 7 1700000007',
    ]
    writer = open_writer()
    again = writer.page(OPENMETRICS).body.decode()
    assert exemplars == [
        line.partition(" # ")[2]
        for line in again.splitlines()
        if line.startswith("otel_workflow_phase_duration") and " # " in line
    ]


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4", True),
        ("application/openmetrics-text;version=0.0.1,text/plain", False),
        ("application/openmetrics-text;q=0.1,text/plain", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", False),
    ],
)
def test_the_scraper_gets_the_form_it_asks_for(open_writer: Open, accept: str, *, openmetrics: bool) -> None:
    writer = open_writer()
    writer.finished(run_finished(1, "failure", "E"))
    born(writer)
    page = writer.page(accept)
    text = page.body.decode()
    assert openmetrics == page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics == text.endswith("\n# EOF\n")
    assert openmetrics == (" # {trace_id=" in text)
    assert openmetrics == ("# TYPE cicd_pipeline_run_errors counter\n" in text)
    assert openmetrics != ("# TYPE cicd_pipeline_run_errors_total counter\n" in text)
    assert "_created" not in text


def test_values_that_would_break_a_line_are_escaped(open_writer: Open) -> None:
    writer = open_writer()
    name = 'a "b"\\c\nd é \udc80'
    writer.finished(phase_finished(1, name))
    page = born(writer)
    assert 'cicd_pipeline_task_name="a \\"b\\"\\\\c\\nd é \\udc80"' in page
    samples(page)
    ExportMetricsServiceRequest.FromString(writer.request()[0])


def test_every_family_is_one_block_in_the_order_of_the_catalogue(open_writer: Open) -> None:
    writer = open_writer()
    writer.began(run_began(1, queued=START_NS - 1))
    writer.finished(run_finished(1, "failure", "E"))
    writer.finished(phase_finished(1, retries=2))
    writer.count("otel_workflow.bridge.dropped", reason="r")
    writer.count("otel_workflow.bridge.refused", reason="r")
    writer.gauge("otel_workflow.bridge.backlog", 3)
    writer.gauge("otel_workflow.bridge.oldest", 1.5)
    writer.gauge("otel_workflow.bridge.silent_runs", 0)
    page = born(writer)
    families = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert families == [prometheus_name(metric).removesuffix("_total") for metric in METRICS.values()]
    seen = samples(page)
    assert (3, 1.5) == (seen["otel_workflow_bridge_backlog{}"], seen["otel_workflow_bridge_oldest_seconds{}"])


def test_the_bridge_counts_only_its_own_under_its_own_labels(open_writer: Open) -> None:
    writer = open_writer()
    with pytest.raises(ValueError, match="no metric of the bridge's own"):
        writer.count("otel_workflow.run.started")
    with pytest.raises(ValueError, match="labels"):
        writer.count("otel_workflow.bridge.duplicates", reason="x")


def test_a_failing_pipeline_recovers_with_its_next_success(open_writer: Open) -> None:
    writer = open_writer()
    outcomes = ["success", "failure", "skip", "error", "success", "success", "timeout", "success"]
    for number, outcome in enumerate(outcomes):
        writer.finished(run_finished(number, outcome, start=START_NS + number * 60 * SECOND, took=1))
        if number == 3:  # how long it has been failing is kept on disk
            writer.commit()
            writer = open_writer()
    page = samples(born(writer))
    recovery = 'otel_workflow_run_recovery_duration_seconds_%s{cicd_pipeline_name="ci"}'
    assert (2, 180 + 60) == (page[recovery % "count"], page[recovery % "sum"])
    last = 'otel_workflow_run_last_end_seconds{cicd_pipeline_name="ci",cicd_pipeline_result="%s"}'
    assert [1_700_000_421, 1_700_000_181] == [page[last % result] for result in ("success", "error")]


def test_retries_are_counted_in_one_phase_or_by_attempts(open_writer: Open) -> None:
    writer = open_writer()
    for number, more in enumerate(({}, {"retries": 2}, {"attempt": 2}, {"attempt": 3})):
        writer.finished(phase_finished(number, **more))
    name = 'otel_workflow_phase_retries_total{cicd_pipeline_name="ci",cicd_pipeline_task_name="lint"}'
    assert 4 == samples(born(writer))[name]


def otlp_samples(body: bytes) -> dict[str, float]:
    """What a request says, under the names that Prometheus gives it."""
    found: dict[str, float] = {}
    request = ExportMetricsServiceRequest.FromString(body)
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        name = prometheus_name(METRICS[metric.name])
        points = getattr(metric, metric.WhichOneof("data")).data_points
        for point in points:
            labels = {a.key.replace(".", "_"): a.value.string_value for a in point.attributes}
            if not isinstance(point, metrics_pb2.HistogramDataPoint):
                found[_key(name, labels)] = getattr(point, point.WhichOneof("value"))
                continue
            assert list(BOUNDS) == list(point.explicit_bounds)
            counts = list(itertools.accumulate(point.bucket_counts))
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                found[_key(f"{name}_bucket", labels | {"le": bound})] = count
            found[_key(f"{name}_count", labels)] = point.count
            found[_key(f"{name}_sum", labels)] = point.sum
    return found


def _key(name: str, labels: dict[str, str]) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def test_a_push_says_the_same_as_the_page(open_writer: Open) -> None:
    writer = open_writer(instance="shard-1")
    dice = random.Random(7)
    for number in range(300):
        outcome = dice.choice(["success", "failure", "error", "skip"])
        writer.finished(phase_finished(number, f"p{number % 7}", outcome, "E", took=dice.expovariate(0.01)))
        writer.finished(run_finished(number, outcome, "E", took=dice.expovariate(0.001), queued_ns=START_NS - SECOND))
    writer.began(run_began(1000))
    writer.gauge("otel_workflow.bridge.oldest", 2.25)
    page = samples(born(writer))
    assert len(page) > 300
    assert page == otlp_samples(writer.request()[0])


def test_a_push_is_cumulative_from_the_birth_of_each_series_and_carries_exemplars(
    open_writer: Open, clock: Clock
) -> None:
    writer = open_writer(instance="shard-1")
    writer.finished(run_finished(1, "failure", "E"))
    writer.commit()
    clock.advance(60)
    writer.pushed(writer.request()[1])
    writer = open_writer(instance="shard-1")
    clock.advance(60)
    (resource,) = ExportMetricsServiceRequest.FromString(writer.request()[0]).resource_metrics
    attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert {"service.name": "otel-workflow-bridge", "service.instance.id": "shard-1"} == attributes
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert {name: METRICS[name].unit for name in metrics} == {name: metric.unit for name, metric in metrics.items()}
    errors = metrics["cicd.pipeline.run.errors"].sum
    assert (metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE, True) == (
        errors.aggregation_temporality,
        errors.is_monotonic,
    )
    assert not metrics["cicd.pipeline.run.active"].sum.is_monotonic
    assert "gauge" == metrics["otel_workflow.run.last_end"].WhichOneof("data")
    (point,) = (each for each in errors.data_points if each.as_int)
    assert (START_NS, START_NS + 120 * SECOND) == (point.start_time_unix_nano, point.time_unix_nano)
    durations = metrics["cicd.pipeline.run.duration"].histogram
    assert metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE == durations.aggregation_temporality
    (exemplar,) = (e for p in durations.data_points for e in p.exemplars)
    assert (f"{1:032x}", f"{1:016x}", 0.05) == (
        exemplar.trace_id.hex(),
        exemplar.span_id.hex(),
        exemplar.as_double,
    )
