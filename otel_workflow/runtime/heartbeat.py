"""The thread that says for an open run that it lives, where ``OW_HEARTBEAT`` asks for it.

A thread of its own, beside the one that delivers: a backend that hangs must not make a run look
dead, and a heartbeat must not hold up a span. Nobody waits for it at the end of the process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from otel_workflow.bridge.heartbeats import Heartbeats, OpenRun
from otel_workflow.guard import guarded
from otel_workflow.instrumentation.recorder import Recorder
from otel_workflow.journal.record import SAMPLED

__all__ = ("Heartbeat", "open_runs")

_PATIENCE = 0.1
"""How long (s) a fork waits for a request that was called off."""


class Heartbeat:
    """Starts with the first event, stops before a fork, comes back after it; ``make`` gives each process its own."""

    def __init__(self, make: Callable[[], Heartbeats]) -> None:
        self._make = make
        self._reset()

    def _reset(self) -> None:
        self._beats = self._make()
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._paused = False

    def start(self) -> None:
        """Start the thread if it has not been; called at every event, so it is cheap."""
        if self._thread is not None or self._ends.is_set() or not self._lock.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, args=(self._beats, self._ends), name="otel-workflow-heartbeat", daemon=True
                )
                self._thread = thread
                thread.start()
        except RuntimeError:
            return  # the interpreter is shutting down; ``_thread`` keeps others from trying
        finally:
            self._lock.release()

    def _run(self, beats: Heartbeats, ends: threading.Event) -> None:
        while not ends.wait(beats.pause) and not beats.over:
            guarded(None, beats.turn)
        beats.client.close()

    def end(self) -> None:
        """Stop for good, without waiting: the run's own span says that it has ended."""
        self._ends.set()
        self._beats.client.interrupt()

    def stop(self) -> None:
        """Stop before a fork; a request on its way is called off."""
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return
        self._paused = not self._ends.is_set()
        self._ends.set()
        give_up = time.monotonic() + _PATIENCE
        while thread.is_alive() and time.monotonic() < give_up:
            guarded(None, self._beats.client.interrupt)  # again and again: it may have been about to send
            thread.join(_PATIENCE / 10)
        if not thread.is_alive():
            guarded(None, self._beats.client.before_fork)

    def resume(self) -> None:
        """Go on in the parent after a fork, if it was running before."""
        if self._paused:
            self._paused, self._ends, self._thread = False, threading.Event(), None
            self.start()

    def after_fork_in_child(self) -> None:
        """Leave the parent's runs and connection to the parent."""
        self._reset()


def open_runs(recorder: Recorder) -> list[OpenRun]:
    """Return the runs that this very process has opened and that will be told by a span."""
    mine = os.getpid()
    return [
        OpenRun(run.trace_id, run.span_id, run._run.workflow or run.name, run.run_id, run._start_ns)
        for run in tuple(recorder.open_runs.values())
        if run._run.pid == mine and run._flags & SAMPLED
    ]
