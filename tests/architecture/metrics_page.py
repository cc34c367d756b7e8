"""The page about metrics, written from the catalogue: ``python -m tests.architecture.metrics_page --write``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from otel_workflow.semconv import BOUNDS, METRICS, Metric, prometheus_name
from tests.architecture.source import ROOT

__all__ = ("PAGE", "page")

PAGE = ROOT / "docs" / "metrics.md"

_HEAD = """\
# Metrics

`otel-workflow bridge` counts runs and phases and shows them on one page, as OpenMetrics 1.0 or Prometheus text, or
pushes the same numbers over OTLP. This page is written from `otel_workflow/semconv.py` by `python -m
tests.architecture.metrics_page --write`.

- **Each end counts once**, by trace and span, through restarts and replays, whichever way it came. Ends older than
  eight days are not counted any more and show in `otel_workflow.bridge.dropped`.
- **Nothing is shown before it is on disk**, so no number ever goes down.
- **A series is born at 0.** It shows 0 until a page with that 0 was read to its end, and then all that it counted
  meanwhile: a run of 50 ms between two scrapes is seen as 0 and then 1. That takes one scrape, at most
  `OW_BIRTH_HOLD` seconds (default: two scrapes). One scraper is served exactly; a second one may first meet a series
  when it has left 0.
- **The end of a run has its series when the run starts**: all six results, and errors of the type `_OTHER`.
- **Names are bounded.** A pipeline has 500 phases, the last 100 for names that come back in other runs, and 50 values
  of `error.type`; the rest is counted under `otel.metric.overflow="true"` and `_OTHER`. Phases of the detail `item`
  (tests, recipe lines) make no series.
- Durations are whole nanoseconds inside; buckets and sums are exact. Exemplars carry `trace_id` and `span_id`.

The number of runs in a time range is the difference between its last and its first sample, exactly. `increase()`
extrapolates to the edges of its range: round it.
"""


def page() -> str:
    """Return the page's text."""
    return "\n".join((_HEAD, *_table(), "", *_bounds())) + "\n"


def _table() -> Iterator[str]:
    yield "| metric | in Prometheus | kind | unit | labels | says |"
    yield "|---|---|---|---|---|---|"
    for metric in METRICS.values():
        labels = " ".join(f"`{label}`" for label in metric.labels) or "none"
        name = f"`{metric.name}`", f"`{prometheus_name(metric)}`"
        yield f"| {name[0]} | {name[1]} | {_kind(metric)} | `{metric.unit}` | {labels} | {metric.description} |"


def _kind(metric: Metric) -> str:
    return {"updowncounter": "up-down counter"}.get(metric.instrument, metric.instrument)


def _bounds() -> Iterator[str]:
    yield "Upper bounds of every histogram, in seconds:"
    yield " ".join(f"{bound:g}" for bound in BOUNDS) + "."


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
