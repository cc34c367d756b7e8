"""All series by metric and labels, made when first asked for, within the cap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from otel_workflow.bridge.metrics.limits import Limits
from otel_workflow.bridge.metrics.series import Series
from otel_workflow.semconv import METRICS

__all__ = ("SeriesTable",)

_PHASES = "otel_workflow.phase."
_OWN = "otel_workflow.bridge."


class SeriesTable:
    """Series by label set. ``changed`` are those that the disk does not have yet."""

    def __init__(self, limits: Limits, now: Callable[[], int]) -> None:
        self.changed: dict[int, Series] = {}
        self.unborn: dict[int, Series] = {}
        self._limits = limits
        self._now = now
        self._series: dict[tuple[str, tuple[str | None, ...], bool], Series] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def at(self, name: str, *values: str | None, overflow: bool = False) -> Series:
        """Return the series to change, the metric's overflow series when there is no room for it."""
        series = self._series.get((name, values, overflow))
        if series is None:
            if not self._has_room(name):  # one for each metric: there are only so many metrics
                values, overflow = (None,) * len(values), True
            series = self._series.get((name, values, overflow)) or self._make(name, values, overflow=overflow)
        self.changed[series.id] = series
        return series

    def has(self, name: str, *values: str | None) -> bool:
        """True if there is such a series."""
        return (name, values, False) in self._series

    def _has_room(self, name: str) -> bool:
        if name.startswith(_OWN):
            return True
        cap = self._limits.series
        return len(self._series) < (cap * 4 // 5 if name.startswith(_PHASES) else cap)

    def _make(self, name: str, values: tuple[str | None, ...], *, overflow: bool) -> Series:
        metric = METRICS[name]
        if len(values) != len(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, given {values}")
        self._last_id += 1
        gauge = metric.instrument == "gauge"
        series = Series(metric, values, overflow, self._last_id, self._now(), born=gauge)
        self._add(series)
        return series

    def _add(self, series: Series) -> None:
        self._series[series.metric.name, series.values, series.overflow] = series
        if not series.born:
            self.unborn[series.id] = series

    # -- the disk -------------------------------------------------------------------------------

    def restore(self, row: tuple[Any, ...]) -> Series | None:
        """Take a row back; None for a metric that is not kept any more. Raises ValueError for nonsense."""
        key, name, labels, overflow, birth_ns, born, data = row
        self._last_id = max(self._last_id, key)
        metric = METRICS.get(name)
        values = tuple(json.loads(labels))
        if metric is None or len(values) != len(metric.labels):
            return None
        series = Series(metric, values, bool(overflow), key, birth_ns, bool(born))
        series.restore(data)
        self._add(series)
        return series

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the changed series as rows."""
        return [
            (s.id, s.metric.name, json.dumps(s.values), int(s.overflow), s.birth_ns, int(s.born), s.data())
            for s in self.changed.values()
        ]

    def settle(self) -> None:
        """Take note that the disk has all of them."""
        for series in self.changed.values():
            series.settle()
        self.changed.clear()
