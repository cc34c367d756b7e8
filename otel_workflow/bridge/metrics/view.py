"""What is shown at one moment: families of points, the same for a page and for a push."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from otel_workflow.bridge.metrics.runs import ActiveRun
from otel_workflow.bridge.metrics.series import Point, Series
from otel_workflow.bridge.metrics.tally import EXECUTING
from otel_workflow.semconv import METRICS, OVERFLOW, PIPELINE_NAME, PIPELINE_RUN_STATE, Metric

__all__ = ("Family", "Labels", "Shown", "active_points", "families_of", "gauge_points")

Labels = tuple[tuple[str, str], ...]
_ACTIVE, _OLDEST, _SERIES = "cicd.pipeline.run.active", "otel_workflow.run.oldest_active", "otel_workflow.bridge.series"


@dataclass(frozen=True, slots=True)
class Shown:
    """One series as it is shown; ``birth_ns`` is 0 for a gauge, which has no beginning."""

    labels: Labels
    point: Point
    birth_ns: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its series, in the order of their labels."""

    metric: Metric
    series: tuple[Shown, ...]


def families_of(series: Iterable[Series], gauges: Mapping[str, list[Shown]]) -> list[Family]:
    """Return what is shown, in the order of the catalogue; a metric without series is left out."""
    found: defaultdict[str, list[Shown]] = defaultdict(list, {name: list(shown) for name, shown in gauges.items()})
    for each in series:
        point = each.shown
        if point is not None:
            birth_ns = 0 if each.metric.instrument == "gauge" else each.birth_ns
            found[each.metric.name].append(Shown(each.labels, point, birth_ns))
    return [
        Family(metric, tuple(sorted(found[name], key=lambda shown: shown.labels)))
        for name, metric in METRICS.items()
        if found[name]
    ]


def active_points(runs: Iterable[ActiveRun], pipelines: Iterable[str | None], now_ns: int) -> dict[str, list[Shown]]:
    """Return the gauges of active runs: how many, and the age of the oldest, 0 where none is active."""
    counts: dict[str | None, int] = dict.fromkeys(pipelines, 0)
    oldest: dict[str | None, int] = dict.fromkeys(counts, now_ns)
    for run in runs:
        counts[run.pipeline] = counts.get(run.pipeline, 0) + 1
        oldest[run.pipeline] = min(oldest.get(run.pipeline, now_ns), run.start_ns)
    return {
        _ACTIVE: [
            Shown((*_pipeline(name), (PIPELINE_RUN_STATE, EXECUTING)), Point((count,)))
            for name, count in counts.items()
        ],
        _OLDEST: [Shown(_pipeline(name), Point((now_ns - start_ns,))) for name, start_ns in oldest.items()],
    }


def _pipeline(name: str | None) -> Labels:
    if name is None:
        return (OVERFLOW,)
    return ((PIPELINE_NAME, name),) if name else ()


def gauge_points(gauges: Mapping[tuple[str, Labels], float], series: int) -> dict[str, list[Shown]]:
    """Return the bridge's own gauges; what has the unit s becomes integer ns, the rest whole numbers."""
    found: defaultdict[str, list[Shown]] = defaultdict(list, {_SERIES: [Shown((), Point((series,)))]})
    for (name, labels), value in gauges.items():
        factor = 1_000_000_000 if METRICS[name].unit == "s" else 1
        found[name].append(Shown(labels, Point((round(value * factor),))))
    return found
