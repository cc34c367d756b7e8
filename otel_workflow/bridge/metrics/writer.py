"""The single writer of metrics: counts each end once, commits, and shows what is committed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from otel_workflow.bridge.metrics.facts import Began, Finished
from otel_workflow.bridge.metrics.ledger import BEGAN, FINISHED, INFERRED, LATE, QUEUED, Ledger, key_of
from otel_workflow.bridge.metrics.limits import Limits, Names
from otel_workflow.bridge.metrics.page import Page, render, wants_openmetrics
from otel_workflow.bridge.metrics.request import encode_metrics
from otel_workflow.bridge.metrics.runs import ActiveRun, ActiveRuns, Recoveries
from otel_workflow.bridge.metrics.series import Series
from otel_workflow.bridge.metrics.state import Changes, State
from otel_workflow.bridge.metrics.table import SeriesTable
from otel_workflow.bridge.metrics.tally import STARTED, Tally
from otel_workflow.bridge.metrics.view import Family, Labels, active_points, families_of, gauge_points
from otel_workflow.errors import StateError
from otel_workflow.semconv import ERROR_TYPE, METRICS, PIPELINE_NAME, TASK_NAME

__all__ = ("MetricsWriter",)

_HOUR_NS = 3_600_000_000_000
_DAY_HOURS = 24
_OWN = "otel_workflow.bridge."
_DUPLICATES, _LATE_VERDICTS, _DROPPED = f"{_OWN}duplicates", f"{_OWN}late_verdicts", f"{_OWN}dropped"
_SERVICE, _DEFAULT_INSTANCE = "otel-workflow-bridge", "bridge"


class MetricsWriter:
    """Series, dedup keys and cursors in one file, changed in one transaction.

    ``state`` is a directory, or None for counts that end with their process; ``service`` and
    ``instance`` say in a request whose they are. ``birth_hold`` and ``scrape_interval`` are in seconds: a new series
    shows 0 until a page with it was served, at most ``birth_hold`` (default two scrapes) after the
    first such page. All methods may be called from any thread. Raises StateError (OW-140 to 142).
    """

    def __init__(
        self,
        state: Path | str | None,
        *,
        instance: str = "",
        service: str = _SERVICE,
        birth_hold: float | None = None,
        scrape_interval: float = 15.0,
        now: Callable[[], int] = time.time_ns,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._service, self._instance = service, instance or _DEFAULT_INSTANCE
        self._hold_ns = round((2 * scrape_interval if birth_hold is None else birth_hold) * 1e9)
        self._now = now
        self._lock = threading.Lock()
        self._serial = 0
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._state = State(None if state is None else Path(state))
        with contextlib.ExitStack() as undo:
            undo.callback(self._state.close)
            try:
                self._load()
            except sqlite3.OperationalError as error:  # the machine's trouble: the file may be whole
                raise self._state.unreadable(error) from None
            except (ValueError, TypeError, sqlite3.DatabaseError) as error:
                self._state.set_aside(error)
                self._load()
            undo.pop_all()

    def _load(self) -> None:
        limits = self._limits
        names, table = Names(limits), SeriesTable(limits, self._now)
        self._tally = Tally(table, names, ActiveRuns(limits.active), Recoveries())
        self._table = table
        self._ledger = Ledger(self._state.states_of)
        self._forgot_hour = 0
        self._cursors: dict[str, dict[str, int]] = {}
        self._moved: dict[str, dict[str, int]] = {}
        for row in self._state.rows("series", "id, metric, labels, overflow, birth_ns, born, data"):
            series = table.restore(row)
            if series is not None:
                _remember(names, series)
        columns = "key, trace_id, span_id, pipeline, start_ns, heard_ns"
        self._tally.active.restore(self._state.rows("active", columns))
        self._tally.recoveries.restore(self._state.rows("recovery", "pipeline, failing_ns, success_ns"))
        for spring, name, position in self._state.rows("cursor", "spring, name, position"):
            self._cursors.setdefault(spring, {})[name] = position
        for metric in METRICS.values():
            if metric.name.startswith(_OWN) and metric.instrument == "counter" and not metric.labels:
                table.at(metric.name)

    # -- facts ----------------------------------------------------------------------------------

    def began(self, fact: Began) -> bool:
        """Count a start; False if it is known already. Its end's series begin to be shown, at 0."""
        with self._lock:
            if not fact.is_run:
                if fact.detail != "item":
                    self._tally.phase_began(fact)
                return True
            if self._is_over(fact.time_ns):
                return False
            key = key_of(fact.trace_id, fact.span_id)
            states = self._ledger.states(key)
            entered = self._run_began(fact, key, states, fact.time_ns)
            if entered != states:
                self._enter(key, entered, fact.time_ns)
            return not states & BEGAN

    def finished(self, fact: Finished) -> bool:
        """Count an end; False for one that was counted before, in whichever words, or comes too late."""
        with self._lock:
            if fact.detail == "item" and not fact.is_run:
                return True
            key = key_of(fact.trace_id, fact.span_id)
            states = self._ledger.states(key)
            if states & FINISHED:
                self._finished_again(fact, key, states)
                return False
            if self._is_over(fact.end_ns):
                return False
            entered = states | FINISHED | (INFERRED if fact.interrupted else 0)
            if fact.is_run:
                entered |= self._run_began(fact, key, states, fact.start_ns)
                self._tally.run_finished(fact)
            else:
                self._tally.phase_finished(fact)
            self._enter(key, entered, fact.end_ns)
            return True

    def _run_began(self, fact: Began | Finished, key: bytes, states: int, start_ns: int) -> int:
        """Count what is new about a run's beginning; returns the states after it."""
        tally = self._tally
        if not states & BEGAN and key not in tally.active:
            tally.run_began(fact, start_ns)
        if fact.queued_ns is not None and not states & QUEUED:
            tally.run_left_queue(fact, max(0, start_ns - fact.queued_ns), start_ns)
            states |= QUEUED
        return states | BEGAN

    def _finished_again(self, fact: Finished, key: bytes, states: int) -> None:
        late = states & INFERRED and not states & LATE and not fact.interrupted
        self._table.at(_LATE_VERDICTS if late else _DUPLICATES).add()
        if late:
            self._enter(key, states | LATE, fact.end_ns)

    def _enter(self, key: bytes, states: int, time_ns: int) -> None:
        # An end is refused by its own time when its key is gone: a clock that is ahead must not bring it back.
        hour = max(time_ns, self._now()) // _HOUR_NS + self._limits.keep_days * _DAY_HOURS + 1
        self._ledger.enter(key, states, hour)

    def _is_over(self, time_ns: int) -> bool:
        """True for a time of which the keys are gone, so that nobody knows whether it was counted."""
        if time_ns < self._state.reset_ns:
            self._table.at(_DROPPED, "before_reset").add()
        elif time_ns < self._now() - self._limits.keep_days * _DAY_HOURS * _HOUR_NS:
            self._table.at(_DROPPED, "too_old").add()
        else:
            return False
        return True

    def alive(self, trace_id: str, time_ns: int) -> None:
        """Take note of a heartbeat of a run."""
        with self._lock:
            self._tally.active.hear(trace_id, time_ns)

    def active(self) -> list[ActiveRun]:
        """Return the runs that are committed as begun and not ended, also those of an earlier process."""
        with self._lock:
            return self._tally.active.committed()

    # -- the bridge's own -----------------------------------------------------------------------

    def cursor(self, spring: str) -> dict[str, int]:
        """Return the positions that are committed for a spring."""
        with self._lock:
            return dict(self._cursors.get(spring, {}))

    def set_cursor(self, spring: str, positions: Mapping[str, int]) -> None:
        """Set all positions of a spring, to be committed with what was read up to them."""
        with self._lock:
            self._moved[spring] = dict(positions)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge of the bridge's own, in the unit of the catalogue; it is not kept."""
        values = _own_labels(name, labels)
        shown = tuple((label, said) for label, said in zip(METRICS[name].labels, values, strict=True) if said)
        with self._lock:
            self._gauges[name, shown] = value

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Count one of the bridge's own counters, to be committed with the rest."""
        values = _own_labels(name, labels)
        with self._lock:
            self._table.at(name, *values).add(by)

    # -- the disk -------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write everything since the last commit in one transaction; cheap when there is nothing.

        Raises StateError (OW-143) if the disk did not take it. Then nothing of it is shown, and the
        next commit tries again; who was not told of a success may send again without harm.
        """
        with self._lock:
            tally = self._tally
            changes = Changes(
                series=self._table.rows(),
                seen=self._ledger.rows(),
                active=tally.active.rows(),
                active_gone=tally.active.gone(),
                recovery=tally.recoveries.rows(),
                springs=[(spring,) for spring in self._moved],
                cursors=[(s, name, position) for s, moved in self._moved.items() for name, position in moved.items()],
            )
            hour = self._now() // _HOUR_NS
            forget = hour if hour > self._forgot_hour else None
            if forget is None and not any(getattr(changes, name) for name in Changes.__slots__):
                return
            more = self._state.write(changes, forget)
            self._forgot_hour = hour if forget is not None and not more else self._forgot_hour
            self._table.settle()
            self._ledger.settle()
            tally.active.settle()
            tally.recoveries.settle()
            self._cursors.update(self._moved)
            self._moved.clear()

    def close(self) -> None:
        """Let go of the file; what was not committed is forgotten, as after a kill."""
        with self._lock:
            self._state.close()

    # -- showing --------------------------------------------------------------------------------

    def page(self, accept: str = "") -> Page:
        """Return the page in the form that an Accept header asks for."""
        families, serial, _ = self._show()
        return render(families, serial, openmetrics=wants_openmetrics(accept))

    def request(self) -> tuple[bytes, int]:
        """Return the same as an OTLP request, and its serial."""
        families, serial, now = self._show()
        return encode_metrics(families, self._service, self._instance, now), serial

    def served(self, serial: int) -> None:
        """Take note that a page was written to a scraper to its end: what it showed at 0 is born."""
        with self._lock:
            self._release([s for s in self._table.unborn.values() if s.exhibited and s.exhibited[0] <= serial])

    @property
    def holds_back(self) -> bool:
        """True while series are to be shown at 0 first, whatever they have counted."""
        with self._lock:
            return any(series.committed is not None for series in self._table.unborn.values())

    def pushed(self, serial: int) -> None:
        """Take note that a request was acknowledged."""
        self.served(serial)

    def _show(self) -> tuple[list[Family], int, int]:
        with self._lock:
            now = self._now()
            overdue = [s for s in self._table.unborn.values() if s.exhibited and s.exhibited[1] + self._hold_ns <= now]
            self._release(overdue)
            self._serial += 1
            for series in self._table.unborn.values():
                if series.committed is not None and series.exhibited is None:
                    series.exhibited = self._serial, now
            started = (s for s in self._table if s.metric.name == STARTED and s.committed)
            pipelines = {s.values[0] for s in started}
            gauges = gauge_points(self._gauges, len(self._table))
            gauges |= active_points(self._tally.active.committed(), pipelines, now)
            return families_of(self._table, gauges), self._serial, now

    def _release(self, series: list[Series]) -> None:
        """Let series be born; when the disk does not take it they stay at 0 until it does."""
        if not series:
            return
        with contextlib.suppress(StateError):
            self._state.release([each.id for each in series])
            for each in series:
                each.born = True
                del self._table.unborn[each.id]


def _remember(names: Names, series: Series) -> None:
    """Tell the caps which names have a series already."""
    values = dict(zip(series.metric.labels, series.values, strict=True))
    pipeline = values.get(PIPELINE_NAME)
    if pipeline is not None:
        names.remember(pipeline, phase=values.get(TASK_NAME), error_type=values.get(ERROR_TYPE))


def _own_labels(name: str, labels: Mapping[str, str]) -> tuple[str | None, ...]:
    """Return label values in the metric's order; a keyword is the last word of a label's name."""
    if not name.startswith(_OWN):
        raise ValueError(f"{name} is no metric of the bridge's own")
    words = [label.rpartition(".")[2] for label in METRICS[name].labels]
    if not labels.keys() <= set(words):
        raise ValueError(f"{name} has the labels {words}, given {sorted(labels)}")
    return tuple(labels.get(word) for word in words)
