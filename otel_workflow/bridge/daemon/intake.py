"""Where all springs' facts come together, and where remote runs are watched for silence.

A remote run has no lock that we could ask. One that was heard to begin (a log event) and then says
nothing for ``lost_after`` seconds is shown as lost; after the verdict grace it is counted as
``error``, ``lost``. A real end before that wins; one after it is a late verdict and changes no number.

Silence counts only while we listen: after a restart every open run has its whole time again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from otel_workflow.bridge.daemon.heard import Heard
from otel_workflow.bridge.metrics import Began, Finished, MetricsWriter

__all__ = ("GRACE", "Intake")

GRACE = 30.0
"""How long (s) a verdict may still change after a run was seen to be lost."""
_SPRING = "remote"
_MOST_LEASES = 50_000
_MOST_LOCAL = 200_000


@dataclass(slots=True)
class _Lease:
    """A remote run that was heard to begin; ``heard`` is monotonic seconds, ``heard_ns`` wall time."""

    began: Began
    heard: float
    heard_ns: int


class Intake:
    """Tells the writer each fact, and closes remote runs that fell silent.

    One thread uses it. ``changed`` is True when there is something to commit.
    """

    def __init__(
        self,
        writer: MetricsWriter,
        *,
        lost_after: float = 60.0,
        grace: float = GRACE,
        now: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.writer = writer
        self.changed = False
        self._lost_after, self._grace = lost_after, grace
        self._now, self._monotonic = now, monotonic
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._traces: dict[str, set[tuple[str, str]]] = {}
        self._local: dict[str, None] = {}
        self._saved: AbstractSet[str] = frozenset()
        self._load()

    # -- facts --------------------------------------------------------------------------------

    def began(self, fact: Began) -> None:
        """Take a start that a journal tells."""
        self.changed |= self.writer.began(fact)

    def is_here(self, trace_id: str) -> None:
        """Take note of a run whose process a journal can ask whether it lives."""
        self._local[trace_id] = None
        if len(self._local) > _MOST_LOCAL:
            del self._local[next(iter(self._local))]

    def _began_elsewhere(self, fact: Began) -> None:
        """Take a start of which nothing but its own word says that it lives."""
        is_new = self.writer.began(fact)
        self.changed |= is_new
        key = fact.trace_id, fact.span_id
        if is_new and fact.is_run and key not in self._leases and len(self._leases) < _MOST_LEASES:
            self._lease(_Lease(fact, self._monotonic(), self._now()))

    def finished(self, fact: Finished) -> bool:
        """Take an end; False when it was counted before."""
        self.changed = True  # also by a duplicate, which is counted as such
        self._release((fact.trace_id, fact.span_id))
        return self.writer.finished(fact)

    def hear(self, heard: Heard) -> None:
        """Take everything that one OTLP request said."""
        for began in heard.began:
            self._began_elsewhere(began)
        for trace_id in heard.alive:
            self._alive(trace_id)
        for finished in heard.finished:
            self.finished(finished)
        for trace_id, span_id, outcome, error_type, time_ns in heard.ended:
            lease = self._leases.get((trace_id, span_id))
            if lease is not None:
                self.finished(_end_of(lease.began, outcome, error_type, time_ns))
        if heard.late:
            self.changed = True
            self.writer.count("otel_workflow.bridge.late_verdicts", heard.late)

    def _alive(self, trace_id: str) -> None:
        """Note a sign of life of a run."""
        keys = self._traces.get(trace_id, ())
        for key in keys:
            lease = self._leases[key]
            lease.heard, lease.heard_ns = self._monotonic(), self._now()
        if keys:
            self.writer.alive(trace_id, self._now())

    # -- silence ------------------------------------------------------------------------------

    @property
    def open_runs(self) -> int:
        """How many remote runs are open."""
        return len(self._leases)

    def silent(self, seconds: float | None = None) -> list[Began]:
        """Return the remote runs that said nothing for so long (default: until they are shown as lost).

        What a journal knows is not among them: it is judged by its process's lock.
        """
        limit = self._monotonic() - (self._lost_after if seconds is None else seconds)
        leases = self._leases.values()
        return [each.began for each in leases if each.heard < limit and each.began.trace_id not in self._local]

    def close_the_lost(self) -> int:
        """Count remote runs whose grace is over; returns how many."""
        lost = self.silent(self._lost_after + self._grace)
        for began in lost:
            heard_ns = self._leases[began.trace_id, began.span_id].heard_ns
            self.finished(_end_of(began, "error", "lost", heard_ns, interrupted=True))
        return len(lost)

    # -- through restarts ---------------------------------------------------------------------

    def save(self) -> None:
        """Hand the open remote runs to the writer, so that they are committed with the rest."""
        rows = {_row(lease.began): lease.heard_ns for lease in self._leases.values()}
        if rows.keys() != self._saved:
            self._saved = rows.keys()
            self.writer.set_cursor(_SPRING, rows)

    def _load(self) -> None:
        rows = self.writer.cursor(_SPRING)
        self._saved = rows.keys()
        for row, heard_ns in rows.items():
            trace_id, span_id, began_ns, workflow = row.split(" ", 3)
            began = Began(
                trace_id, span_id, is_run=True, workflow=workflow, name="", detail="run", time_ns=int(began_ns)
            )
            self._lease(_Lease(began, self._monotonic(), heard_ns))

    def _lease(self, lease: _Lease) -> None:
        key = lease.began.trace_id, lease.began.span_id
        self._leases[key] = lease
        self._traces.setdefault(key[0], set()).add(key)

    def _release(self, key: tuple[str, str]) -> None:
        if self._leases.pop(key, None) is not None:
            self._traces[key[0]].discard(key)
            if not self._traces[key[0]]:
                del self._traces[key[0]]


def _row(began: Began) -> str:
    return f"{began.trace_id} {began.span_id} {began.time_ns} {began.workflow}"


def _end_of(began: Began, outcome: str, error_type: str | None, end_ns: int, *, interrupted: bool = False) -> Finished:
    return Finished(
        began.trace_id,
        began.span_id,
        began.is_run,
        began.workflow,
        began.name,
        began.detail,
        outcome,
        error_type,
        began.time_ns,
        max(end_ns, began.time_ns),
        interrupted=interrupted,
    )
