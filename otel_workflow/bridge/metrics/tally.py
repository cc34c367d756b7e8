"""Which series a fact moves: the rules of counting, and nothing of files or pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_workflow.bridge.metrics.facts import Began, Finished
from otel_workflow.bridge.metrics.ledger import key_of
from otel_workflow.bridge.metrics.limits import Names
from otel_workflow.bridge.metrics.runs import ActiveRun, ActiveRuns, Recoveries
from otel_workflow.bridge.metrics.series import Exemplar, Series
from otel_workflow.bridge.metrics.table import SeriesTable
from otel_workflow.events import Outcome
from otel_workflow.semconv import ERROR_TYPE_OTHER

__all__ = ("BAD", "EXECUTING", "PENDING", "STARTED", "Tally")

PENDING, EXECUTING = "pending", "executing"
BAD = frozenset((Outcome.FAILURE.value, Outcome.ERROR.value, Outcome.TIMEOUT.value))
"""The results that count as errors; a cancelled or skipped run went as somebody wanted."""

_RESULTS = tuple(outcome.value for outcome in Outcome)
_DURATION = "cicd.pipeline.run.duration"
_ERRORS = "cicd.pipeline.run.errors"
STARTED = "otel_workflow.run.started"
_FINISHED = "otel_workflow.run.finished"
_LAST_END = "otel_workflow.run.last_end"
_RECOVERY = "otel_workflow.run.recovery.duration"
_PHASE_DURATION = "otel_workflow.phase.duration"
_PHASE_RUNS = "otel_workflow.phase.runs"
_RETRIES = "otel_workflow.phase.retries"
_OVERFLOW = "otel_workflow.bridge.overflow"


@dataclass(slots=True)
class Tally:
    """Counts what is new; whoever calls has made sure that it is."""

    table: SeriesTable
    names: Names
    active: ActiveRuns
    recoveries: Recoveries
    _pipelines: set[str] = field(default_factory=set)
    _phases: set[tuple[str, str]] = field(default_factory=set)

    # -- runs -----------------------------------------------------------------------------------

    def run_began(self, fact: Began | Finished, start_ns: int) -> None:
        """Count the start of a run, and let the series of its end be born."""
        pipeline = self._pipeline(fact.workflow)
        if pipeline is not None:
            self._expect_run(pipeline)
        self._at(STARTED, pipeline).add()
        if isinstance(fact, Began):
            run = ActiveRun(fact.trace_id, fact.span_id, pipeline, start_ns, start_ns)
            self.active.begin(key_of(fact.trace_id, fact.span_id), run)

    def run_left_queue(self, fact: Began | Finished, waited_ns: int, start_ns: int) -> None:
        """Count how long a run was pending."""
        exemplar = start_ns, fact.trace_id, fact.span_id, waited_ns
        self._at(_DURATION, self._pipeline(fact.workflow), PENDING, None).observe(waited_ns, exemplar)

    def run_finished(self, fact: Finished) -> None:
        """Count the end of a run."""
        pipeline = self._pipeline(fact.workflow)
        duration = max(0, fact.end_ns - fact.start_ns)
        exemplar = _exemplar(fact, duration)
        self.active.end(key_of(fact.trace_id, fact.span_id))
        self._at(_FINISHED, pipeline).add()
        self._at(_DURATION, pipeline, EXECUTING, fact.outcome).observe(duration, exemplar)
        self._at(_LAST_END, pipeline, fact.outcome).rise(fact.end_ns)
        if fact.outcome in BAD:
            self._at(_ERRORS, pipeline, self._cause(pipeline, fact)).add(1, _exemplar(fact, 1))
        if pipeline is not None:
            self._recover(pipeline, fact, exemplar)

    def _recover(self, pipeline: str, fact: Finished, exemplar: Exemplar) -> None:
        if fact.outcome in BAD:
            if self.recoveries.failed(pipeline, fact.end_ns):
                self.table.at(_RECOVERY, pipeline)
        elif fact.outcome == Outcome.SUCCESS.value:
            failing_ns = self.recoveries.succeeded(pipeline, fact.end_ns)
            if failing_ns is not None:
                self._at(_RECOVERY, pipeline).observe(failing_ns, (*exemplar[:3], failing_ns))

    def _expect_run(self, pipeline: str) -> None:
        if pipeline in self._pipelines:
            return
        self._pipelines.add(pipeline)
        self.table.at(_FINISHED, pipeline)
        self.table.at(_ERRORS, pipeline, ERROR_TYPE_OTHER)
        for result in _RESULTS:
            self.table.at(_DURATION, pipeline, EXECUTING, result)

    # -- phases ---------------------------------------------------------------------------------

    def phase_began(self, fact: Began | Finished) -> tuple[str | None, str | None]:
        """Let the series of a phase's end be born; returns the pipeline and the phase that have a place."""
        pipeline = self._pipeline(fact.workflow)
        if pipeline is None:
            return None, None
        name = self.names.clip(fact.name)
        if not self.names.phase(pipeline, name, fact.trace_id):
            return pipeline, None
        if (pipeline, name) not in self._phases:
            self._phases.add((pipeline, name))
            self.table.at(_PHASE_DURATION, pipeline, name)
            self.table.at(_RETRIES, pipeline, name)
            self.table.at(_PHASE_RUNS, pipeline, name, Outcome.SUCCESS.value, None)
            self.table.at(_PHASE_RUNS, pipeline, name, Outcome.FAILURE.value, ERROR_TYPE_OTHER)
        return pipeline, name

    def phase_finished(self, fact: Finished) -> None:
        """Count the end of a phase."""
        pipeline, name = self.phase_began(fact)
        duration = max(0, fact.end_ns - fact.start_ns)
        cause = self._cause(pipeline, fact) if fact.outcome in BAD and name is not None else None
        self._at_phase(_PHASE_DURATION, pipeline, name).observe(duration, _exemplar(fact, duration))
        self._at_phase(_PHASE_RUNS, pipeline, name, fact.outcome, cause).add(1, _exemplar(fact, 1))
        # An engine says that it tries again in one phase, or makes each attempt a phase of its own.
        retries = max(fact.retries, int(fact.attempt > 1))
        if retries:
            self._at_phase(_RETRIES, pipeline, name).add(retries)

    # -- names ----------------------------------------------------------------------------------

    def _pipeline(self, workflow: str) -> str | None:
        name = self.names.clip(workflow)
        return name if self.names.pipeline(name) else None

    def _cause(self, pipeline: str | None, fact: Finished) -> str:
        cause = self.names.clip(fact.error_type or ERROR_TYPE_OTHER)
        if pipeline is None or cause == ERROR_TYPE_OTHER or not self.names.error_type(pipeline, cause):
            return ERROR_TYPE_OTHER
        return cause

    def _at(self, name: str, pipeline: str | None, *values: str | None) -> Series:
        """The series, or where it has no place the overflow series, which has no label but that."""
        if pipeline is None:
            series = self.table.at(name, *(None for _ in (pipeline, *values)), overflow=True)
        else:
            series = self.table.at(name, pipeline, *values)
        return self._noted(series)

    def _at_phase(self, metric: str, pipeline: str | None, name: str | None, *values: str | None) -> Series:
        """The same for a phase's series; a pipeline with too many names has an overflow series of its own."""
        if pipeline is not None and name is None:
            return self._noted(self.table.at(metric, pipeline, None, *values, overflow=True))
        return self._at(metric, pipeline, name, *values)

    def _noted(self, series: Series) -> Series:
        if series.overflow:
            self.table.at(_OVERFLOW).add()
        return series


def _exemplar(fact: Finished, value: int) -> Exemplar:
    return fact.end_ns, fact.trace_id, fact.span_id, value
