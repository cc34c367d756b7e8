"""One series: exact integers, what of them is on disk, and whether its 0 has been seen.

A backend that first sees a counter at 10 has lost ten: nothing was there to subtract from. So a
series is *unborn* until a page that shows it at 0 has reached a scraper; what it counts
meanwhile is kept, on disk too, and appears at once when it is born.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_workflow.semconv import BOUNDS, OVERFLOW, Metric

__all__ = ("BOUNDS_NS", "Exemplar", "Point", "Series", "bucket_of")

BOUNDS_NS = tuple(round(bound * 1e9) for bound in BOUNDS)

Exemplar = tuple[int, str, str, int]
"""When (ns), trace id and span id in hex, and the value in the series' own integers."""


def bucket_of(duration_ns: int) -> int:
    """Return the index of the bucket a duration falls into; a bound belongs to the bucket below it."""
    return bisect_left(BOUNDS_NS, duration_ns)


@dataclass(frozen=True, slots=True)
class Point:
    """What a series shows: one cell, or one for each bucket, not cumulative.

    Whatever has the unit s is kept in integer ns. ``exemplars`` are by cell.
    """

    cells: tuple[int, ...]
    sum_ns: int = 0
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


@dataclass(slots=True)
class Series:
    """The values of one label set of one metric.

    ``values`` are those of the metric's labels in its order, None for a label it does not have.
    ``committed`` is what the disk has; None before the first commit. ``exhibited`` is the page
    that first showed it at 0, as its serial number and time.
    """

    metric: Metric
    values: tuple[str | None, ...]
    overflow: bool
    id: int
    birth_ns: int
    born: bool = False
    cells: list[int] = field(default_factory=list)
    sum_ns: int = 0
    exemplars: dict[int, Exemplar] = field(default_factory=dict)
    committed: Point | None = None
    exhibited: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.cells:
            self.cells = [0] * self._width

    @property
    def _width(self) -> int:
        return len(BOUNDS) + 1 if self.metric.instrument == "histogram" else 1

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """The labels it has, in the metric's order."""
        pairs = tuple((name, value) for name, value in zip(self.metric.labels, self.values, strict=True) if value)
        return (*pairs, OVERFLOW) if self.overflow else pairs

    def add(self, by: int = 1, exemplar: Exemplar | None = None) -> None:
        """Count."""
        self.cells[0] += by
        self._exemplify(0, exemplar)

    def observe(self, duration_ns: int, exemplar: Exemplar | None = None) -> None:
        """Put a duration into its bucket."""
        cell = bucket_of(duration_ns)
        self.cells[cell] += 1
        self.sum_ns += duration_ns
        self._exemplify(cell, exemplar)

    def rise(self, value: int) -> None:
        """Move a gauge up to a value, never down."""
        self.cells[0] = max(self.cells[0], value)

    def _exemplify(self, cell: int, exemplar: Exemplar | None) -> None:
        # The newest by the time of the event, so that the order of arrival makes no difference.
        if exemplar is not None and exemplar > self.exemplars.get(cell, (0, "", "", 0)):
            self.exemplars[cell] = exemplar

    def settle(self) -> None:
        """Take note that the disk has what was counted so far."""
        self.committed = Point(tuple(self.cells), self.sum_ns, dict(self.exemplars))

    @property
    def shown(self) -> Point | None:
        """What may be shown: what the disk has, or 0 while it is unborn, or nothing."""
        if self.committed is None or self.born:
            return self.committed
        return Point((0,) * self._width)

    def data(self) -> str:
        """Return its values as the disk keeps them."""
        return json.dumps([self.cells, self.sum_ns, list(self.exemplars.items())], separators=(",", ":"))

    def restore(self, data: str) -> None:
        """Take values back from disk; raises ValueError for what is not such values."""
        cells, sum_ns, exemplars = json.loads(data)
        if len(cells) != self._width or not all(type(cell) is int for cell in (*cells, sum_ns)):
            raise ValueError(f"not the values of {self.metric.name}: {data[:80]}")
        self.cells, self.sum_ns = cells, sum_ns
        self.exemplars = {cell: (time, trace, span, value) for cell, (time, trace, span, value) in exemplars}
        self.settle()
