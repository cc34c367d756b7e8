"""Runs that have begun and not ended, and pipelines that have failed and not recovered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ("ActiveRun", "ActiveRuns", "Recoveries")


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run whose end is not known; ``heard_ns`` is its last sign of life, as its sender's clock had it.

    ``pipeline`` is None for a run of a pipeline that has no series of its own.
    """

    trace_id: str
    span_id: str
    pipeline: str | None
    start_ns: int
    heard_ns: int


class ActiveRuns:
    """The active runs, and which of them the disk knows."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._runs: dict[bytes, ActiveRun] = {}
        self._by_trace: dict[str, set[bytes]] = {}
        self._changed: dict[bytes, ActiveRun | None] = {}
        self._committed: dict[bytes, ActiveRun] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._runs

    def begin(self, key: bytes, run: ActiveRun) -> None:
        """Add a run, unless there are too many to know each by its age."""
        if len(self._runs) < self._cap:
            self._set(key, run)

    def _set(self, key: bytes, run: ActiveRun) -> None:
        self._runs[key] = self._changed[key] = run
        self._by_trace.setdefault(run.trace_id, set()).add(key)

    def end(self, key: bytes) -> None:
        """Remove a run."""
        run = self._runs.pop(key, None)
        if run is None:
            return
        self._changed[key] = None
        keys = self._by_trace[run.trace_id]
        keys.discard(key)
        if not keys:
            del self._by_trace[run.trace_id]

    def hear(self, trace_id: str, time_ns: int) -> None:
        """Take note of a sign of life from the runs of a trace."""
        for key in self._by_trace.get(trace_id, ()):
            run = self._runs[key]
            if time_ns > run.heard_ns:
                self._runs[key] = self._changed[key] = replace(run, heard_ns=time_ns)

    def committed(self) -> list[ActiveRun]:
        """Return the runs that are active as far as the disk knows."""
        return list(self._committed.values())

    # -- the disk -------------------------------------------------------------------------------

    def restore(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take rows back."""
        for key, *fields in rows:
            self._set(key, ActiveRun(*fields))
        self.settle()

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the changed runs as rows."""
        return [
            (key, run.trace_id, run.span_id, run.pipeline, run.start_ns, run.heard_ns)
            for key, run in self._changed.items()
            if run is not None
        ]

    def gone(self) -> list[tuple[bytes]]:
        """Return the keys of rows to delete."""
        return [(key,) for key, run in self._changed.items() if run is None]

    def settle(self) -> None:
        """Take note that the disk has all of it."""
        for key, run in self._changed.items():
            if run is None:
                self._committed.pop(key, None)
            else:
                self._committed[key] = run
        self._changed.clear()


class Recoveries:
    """How long pipelines have been failing.

    A recovery is counted when a success arrives, and a counter cannot be taken back: runs that
    arrive out of order may make it shorter than it was, never longer, and never count it twice.
    """

    def __init__(self) -> None:
        self._pipelines: dict[str, tuple[int, int]] = {}
        self._changed: set[str] = set()

    def failed(self, pipeline: str, end_ns: int) -> bool:
        """Take note of a failed run; True if it is the one that the pipeline has to recover from."""
        failing_ns, success_ns = self._pipelines.get(pipeline, (0, 0))
        if end_ns <= success_ns or (failing_ns and failing_ns <= end_ns):
            return False
        self._set(pipeline, end_ns, success_ns)
        return True

    def succeeded(self, pipeline: str, end_ns: int) -> int | None:
        """Take note of a success; returns how long the pipeline had been failing, None if it was not."""
        failing_ns, success_ns = self._pipelines.get(pipeline, (0, 0))
        if failing_ns and end_ns > failing_ns:
            self._set(pipeline, 0, max(success_ns, end_ns))
            return end_ns - failing_ns
        if end_ns > success_ns:
            self._set(pipeline, failing_ns, end_ns)
        return None

    def _set(self, pipeline: str, failing_ns: int, success_ns: int) -> None:
        self._pipelines[pipeline] = failing_ns, success_ns
        self._changed.add(pipeline)

    # -- the disk -------------------------------------------------------------------------------

    def restore(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take rows back."""
        self._pipelines = {pipeline: (failing_ns, success_ns) for pipeline, failing_ns, success_ns in rows}

    def rows(self) -> list[tuple[str, int, int]]:
        """Return the changed pipelines as rows."""
        return [(pipeline, *self._pipelines[pipeline]) for pipeline in self._changed]

    def settle(self) -> None:
        """Take note that the disk has all of it."""
        self._changed.clear()
