"""The page that a scraper reads: OpenMetrics 1.0 with exemplars, or Prometheus text 0.0.4 without.

There are no ``_created`` lines: Prometheus stores each as one more series, and what they are for
(counting from the first sample on) the births of series do on any server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from otel_workflow.bridge.metrics.series import Exemplar
from otel_workflow.bridge.metrics.view import Family, Shown
from otel_workflow.semconv import BOUNDS, Metric, prometheus_name

__all__ = ("Page", "render", "wants_openmetrics")

_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_LE = (*(f'le="{bound!r}"' for bound in BOUNDS), 'le="+Inf"')
_VALUE = {ord("\\"): r"\\", ord('"'): r"\"", ord("\n"): r"\n"}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a scraper; ``serial`` is for ``MetricsWriter.served``."""

    body: bytes
    content_type: str
    serial: int


def wants_openmetrics(accept: str) -> bool:
    """True if the Accept header takes OpenMetrics 1 at least as gladly as plain text."""
    best = {"openmetrics": 0.0, "text": 0.0}
    for offer in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in offer.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            continue
        if kind == "application/openmetrics-text":
            if given.get("version", "1.0.0").strip('"').startswith("1."):
                best["openmetrics"] = max(best["openmetrics"], quality)
        elif kind == "text/plain":
            best["text"] = max(best["text"], quality)
    return 0 < best["openmetrics"] >= best["text"]


def render(families: Sequence[Family], serial: int, *, openmetrics: bool) -> Page:
    """Return the page of what is shown."""
    lines: list[str] = []
    for family in families:
        lines += _head(family.metric, openmetrics=openmetrics)
        for shown in family.series:
            lines += _lines(family.metric, shown, openmetrics=openmetrics)
    if openmetrics:
        lines.append("# EOF")
    body = "".join(f"{line}\n" for line in lines)
    return Page(body.encode(errors="backslashreplace"), _OPENMETRICS if openmetrics else _TEXT, serial)


def _head(metric: Metric, *, openmetrics: bool) -> Iterator[str]:
    name = prometheus_name(metric)
    if openmetrics:
        name = name.removesuffix("_total")
    kind = {"updowncounter": "gauge"}.get(metric.instrument, metric.instrument)
    yield f"# TYPE {name} {kind}"
    if openmetrics and metric.unit == "s":
        yield f"# UNIT {name} seconds"
    yield f"# HELP {name} {metric.description}"


def _lines(metric: Metric, shown: Shown, *, openmetrics: bool) -> Iterator[str]:
    name, point = prometheus_name(metric), shown.point
    labels = ",".join([f'{key.replace(".", "_")}="{value.translate(_VALUE)}"' for key, value in shown.labels])
    braces = f"{{{labels}}}" if labels else ""
    if metric.instrument != "histogram":
        value = _seconds(point.cells[0]) if metric.unit == "s" else str(point.cells[0])
        is_counter = metric.instrument == "counter"
        yield f"{name}{braces} {value}{_exemplar(metric, point.exemplars.get(0)) if openmetrics and is_counter else ''}"
        return
    comma = "," if labels else ""
    for cell, count in enumerate(accumulate(point.cells)):
        exemplar = _exemplar(metric, point.exemplars.get(cell)) if openmetrics else ""
        yield f"{name}_bucket{{{labels}{comma}{_LE[cell]}}} {count}{exemplar}"
    yield f"{name}_count{braces} {sum(point.cells)}"
    yield f"{name}_sum{braces} {_seconds(point.sum_ns)}"


def _exemplar(metric: Metric, exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    time_ns, trace_id, span_id, value = exemplar
    said = _seconds(value) if metric.unit == "s" else str(value)
    return f' # {{trace_id="{trace_id}",span_id="{span_id}"}} {said} {_seconds(time_ns)}'


def _seconds(value_ns: int) -> str:
    """Return ns as seconds in decimal, not one digit lost."""
    whole, rest = divmod(abs(value_ns), 1_000_000_000)
    return (
        f"{'-' if value_ns < 0 else ''}{whole}.{rest:09d}".rstrip("0").removesuffix(".")
        if rest
        else f"{'-' if value_ns < 0 else ''}{whole}"
    )
