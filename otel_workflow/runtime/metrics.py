"""Metrics from inside a long-lived worker: a thread that counts what this process records and pushes it.

The same writer as the daemon's, so the numbers are exact and a series is shown at 0 before it counts;
its state is in memory and ends with the process, and so does its ``service.instance.id``. It looks
every few seconds, so that nothing is retired uncounted, and pushes each interval and at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.metrics.own import OwnCounts
from otel_workflow.bridge.metrics.pushing import Pushing, metrics_destination, push_interval
from otel_workflow.guard import guarded
from otel_workflow.journal import LastingWriter, MemoryJournal

__all__ = ("MetricsPush", "metrics_push")

PATIENCE = 0.22
"""Longest wait without progress at the end, in seconds, as for spans."""
_LOOK = 2.0
_FIRST = 1.0
_SEND = 10.0
_APART = 0.002
"""What lies at least between two pushes, in seconds: two samples with one time would be one to a backend."""


class MetricsPush:
    """The thread and the waiting for it; ``make`` gives counts that begin at 0, anew in a forked child."""

    def __init__(self, make: Callable[[], tuple[OwnCounts, Pushing]], interval: float) -> None:
        self._make = make
        self._interval = interval
        self._reset()

    def _reset(self) -> None:
        self._thread: threading.Thread | None = None
        self._made: tuple[OwnCounts, Pushing] | None = None
        self._wake = threading.Event()
        self._turn = threading.Lock()
        self._due = 0.0
        self._end: float | None = None
        self._stopped = self._paused = False
        self._progress = self._asked = self._answered = 0
        self._well = True

    def start(self) -> None:
        """Start the thread if it is not running; called at every event, so it is cheap."""
        if self._thread is not None or self._stopped or not self._turn.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-workflow-metrics", daemon=True)
                self._thread = thread
                thread.start()
        except RuntimeError:
            self._thread, self._stopped = None, True  # the interpreter is shutting down
        finally:
            self._turn.release()

    def _run(self) -> None:
        me = threading.current_thread()
        if self._made is None:
            self._made = guarded(None, self._make)
            self._due = time.monotonic() + min(self._interval, _FIRST)
        if self._made is None:
            self._stopped = True
            return
        while self._thread is me and self._end is None:
            self._wake.wait(min(_LOOK, max(self._due - time.monotonic(), 0.0)))
            self._wake.clear()
            if self._thread is me and self._end is None:
                guarded(None, self._turn_once, *self._made)
        if self._thread is me:
            guarded(None, self._last, *self._made)

    def _turn_once(self, counts: OwnCounts, pushing: Pushing) -> None:
        counts.take(self._is_stopping)
        asked = self._asked
        if asked != self._answered:
            self._well = self._push_whole(counts, pushing, time.monotonic() + _SEND)
            self._answered = asked
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            pushing.push(time.monotonic() + min(_SEND, self._interval))

    def _is_stopping(self) -> bool:
        return self._thread is not threading.current_thread() or self._end is not None

    def _push_whole(self, counts: OwnCounts, pushing: Pushing, deadline: float) -> bool:
        """Push; and once more where the first push only showed new series at 0."""
        holds_back = counts.writer.holds_back
        done = pushing.push(deadline)
        self._progress += done
        if done and holds_back:
            time.sleep(_APART)
            done = pushing.push(deadline)
        return done

    def _last(self, counts: OwnCounts, pushing: Pushing) -> None:
        counts.take(in_haste=True)
        self._progress += 1
        self._well = self._push_whole(counts, pushing, self._end or 0.0)
        pushing.close()
        counts.writer.close()

    def flush(self, timeout: float) -> bool:
        """Push what was recorded so far; False when it was not acknowledged in time."""
        if self._thread is None:
            return True
        self._asked += 1
        asked, end = self._asked, time.monotonic() + timeout
        self._wake.set()
        while self._answered < asked:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return self._well

    def begin_to_end(self, deadline: float) -> None:
        """Let the thread count and push a last time, beside whatever else the end has to wait for."""
        self._end = time.monotonic() + deadline
        self._wake.set()

    def finish(self) -> bool:
        """Wait for that, while it makes progress; True when all was acknowledged."""
        self._stopped = True
        thread, made = self._thread, self._made
        seen, since = self._progress, time.monotonic()
        while thread is not None and thread.is_alive():
            thread.join(0.01)
            now = time.monotonic()
            if self._progress != seen:
                seen, since = self._progress, now
            if now - since >= PATIENCE or now >= (self._end or 0.0):
                if made is not None:
                    guarded(None, made[1].interrupt)
                return False
        return thread is None or self._well

    def stop(self) -> None:
        """Stop the thread, before a fork."""
        thread, self._thread = self._thread, None
        self._paused = thread is not None
        if thread is None or thread is threading.current_thread():
            return
        self._wake.set()
        thread.join(PATIENCE)
        if thread.is_alive() and self._made is not None:
            guarded(None, self._made[1].interrupt)
            thread.join(PATIENCE)

    def resume(self) -> None:
        """Go on after a fork, if the thread was running before it."""
        if self._paused:
            self.start()

    def after_fork_in_child(self) -> None:
        """Begin at 0 under another instance id: what the parent counted is the parent's."""
        self._reset()


def metrics_push(environ: Mapping[str, str]) -> Callable[[LastingWriter | MemoryJournal], MetricsPush] | None:
    """Return how to push the counts of a journal; None when no endpoint is set or metrics are switched off.

    Raises ConfigError (OW-111 and following) for an endpoint or an interval that cannot be used.
    """
    destination, interval = metrics_destination(environ), push_interval(environ)
    if destination is None or environ.get("OTEL_METRICS_EXPORTER", "").strip().lower() == "none":
        return None

    def of(journal: LastingWriter | MemoryJournal) -> MetricsPush:
        def make() -> tuple[OwnCounts, Pushing]:
            counts = OwnCounts(journal, interval)
            return counts, Pushing(counts.writer, client_for(destination), interval)

        return MetricsPush(make, interval)

    return of
