"""Caps on what can become a series, so that names made of ids cannot fill a monitoring server.

A phase's name gets a place of its own in its pipeline while there are places. The last of them
are kept for names that come back: one that is met in run after run is a phase that somebody wrote
down, one that never returns was made of an id. What gets no place is counted all the same, in
the overflow series.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from otel_workflow.bridge.metrics.met import Met

__all__ = ("Limits", "Names")

_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may become series.

    ``phases`` and ``error_types`` count by pipeline; ``reserved`` of the phases are for names that
    come back in other runs. ``declared`` names always have a place. ``series`` counts label sets
    of all metrics, of which phases may take four fifths. ``active`` bounds the runs whose age is
    known. ``label`` is the longest value in characters. ``keep_days`` is how long an end is
    remembered; one that comes later is not counted.
    """

    phases: int = 500
    reserved: int = 100
    declared: AbstractSet[str] = frozenset()
    pipelines: int = 1_000
    error_types: int = 50
    series: int = 50_000
    active: int = 50_000
    label: int = 200
    keep_days: int = 8


@dataclass(slots=True)
class _Pipeline:
    """The names that have a place in one pipeline."""

    phases: set[str] = field(default_factory=set)
    error_types: set[str] = field(default_factory=set)


class Names:
    """Gives places to names. Not kept on disk: those that have a place are read off the series."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pipelines: dict[str, _Pipeline] = {}
        self._candidates: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._met = Met()

    def remember(self, pipeline: str, *, phase: str | None = None, error_type: str | None = None) -> None:
        """Take note of names that have a series already."""
        known = self._pipelines.setdefault(pipeline, _Pipeline())
        if phase is not None:
            known.phases.add(phase)
        if error_type is not None:
            known.error_types.add(error_type)

    def clip(self, value: str) -> str:
        """Return a label's value, cut to what a label may hold."""
        longest = self._limits.label
        return value if len(value) <= longest else value[: longest - 1] + "…"

    def pipeline(self, name: str) -> bool:
        """True if the pipeline has a place."""
        if name in self._pipelines:
            return True
        if len(self._pipelines) >= self._limits.pipelines:
            return False
        self._pipelines[name] = _Pipeline()
        return True

    def phase(self, pipeline: str, name: str, trace_id: str) -> bool:
        """True if the phase has a place in its pipeline, which has one itself."""
        places = self._pipelines[pipeline].phases
        if name in places:
            return True
        limits = self._limits
        if (
            name in limits.declared
            or len(places) < limits.phases - limits.reserved
            or (self._came_back(pipeline, name, trace_id) and len(places) < limits.phases)
        ):
            places.add(name)
            self._candidates.pop((pipeline, name), None)
            return True
        return False

    def error_type(self, pipeline: str, value: str) -> bool:
        """True if the error's type has a place in its pipeline, which has one itself."""
        places = self._pipelines[pipeline].error_types
        if value not in places:
            if len(places) >= self._limits.error_types:
                return False
            places.add(value)
        return True

    def _came_back(self, pipeline: str, name: str, trace_id: str) -> bool:
        """True if the name is surely met in a second run.

        A name that was perhaps met before becomes a candidate, and is believed when another run than
        the one that made it a candidate has it too: the third meeting in all, for most.
        """
        key = pipeline, name
        candidate_of = self._candidates.get(key)
        if candidate_of is not None:
            return candidate_of != trace_id
        if self._met.again(key):
            self._candidates[key] = trace_id
            if len(self._candidates) > _CANDIDATES:
                self._candidates.popitem(last=False)
        return False
