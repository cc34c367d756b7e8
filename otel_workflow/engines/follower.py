"""Takes what an engine's bus says, in order, in a thread of its own: the engine only enqueues.

The thread begins with the first event and ends when nothing has come for a while, so an idle engine
has none. What has not been taken at the end of the process is waited for, briefly.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from queue import Empty, SimpleQueue

from opentelemetry.context import Context, attach, detach, get_current

from otel_workflow.events import Event
from otel_workflow.guard import guarded
from otel_workflow.instrumentation.published import Published
from otel_workflow.instrumentation.recorder import Recorder, active

__all__ = ("MAX_WAITING", "Follower")

MAX_WAITING = 100_000
"""Events that may wait; what comes beyond is counted in ``dropped``."""
IDLE = 0.5
"""Seconds without an event after which the thread ends."""
EXIT = 2.0
"""Seconds the end of the process waits for what was said last."""
_Said = tuple[Event, Context]
_logger = logging.getLogger("otel_workflow")


class Follower:
    """Makes phases of foreign events, by the times they carry, and passes them on to our bus.

    Each event is taken in the context it was published in: a run that is open around the engine is
    the parent of what the engine does.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._start_anew()

    def _start_anew(self) -> None:
        self._queue: SimpleQueue[_Said | threading.Event] = SimpleQueue()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._recorder: Recorder | None = None
        self._published: Published | None = None
        self._pid = os.getpid()

    def put(self, event: Event) -> None:
        """Have an event taken; returns at once, whatever becomes of it. Unheard where nothing records."""
        if self._pid != os.getpid():
            self._start_anew()  # forked: the parent takes what was waiting, its thread is not here
        recorder = active()
        if recorder is None:
            return
        if recorder is not self._recorder:
            self._recorder = recorder
            self._stay_last()
        if self._queue.qsize() >= MAX_WAITING:
            self.dropped += 1
            return
        self._queue.put((event, get_current()))
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._turn:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="otel-workflow-follower", daemon=True)
                self._thread.start()

    def _stay_last(self) -> None:
        """Register for the end of the process after ``configure()`` did, and so be called before it."""
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)

    def _run(self) -> None:
        while True:
            try:
                said = self._queue.get(timeout=IDLE)
            except Empty:
                if self._may_end():
                    return
                continue
            self._handle(said)

    def _may_end(self) -> bool:
        """Leave, unless something came while we did; whoever puts after this line begins a new thread."""
        self._thread = None
        if self._queue.empty():
            return True
        with self._turn:
            if self._thread is None:
                self._thread = threading.current_thread()
        return self._thread is not threading.current_thread()

    def _handle(self, said: _Said | threading.Event) -> None:
        if isinstance(said, threading.Event):
            said.set()
        else:
            guarded(None, self._take, *said)

    def _take(self, event: Event, context: Context) -> None:
        recorder = active()
        if recorder is None:
            return
        if self._published is None or recorder is not self._published.recorder:
            self._published = Published(recorder, own_times=True)
        token = attach(context)
        try:
            self._published(event)
        finally:
            detach(token)
        if recorder.bus.has_listeners:
            recorder.bus.emit(event)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything so far was taken; False when that took longer (s)."""
        if self._thread is None and self._queue.empty():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        if self._thread is None:
            self._begin()
        return reached.wait(timeout)

    def _at_exit(self) -> None:
        """Take what is left: in the thread, or here where there is none and none can be begun."""
        if self._pid != os.getpid():
            return
        if self._thread is not None:
            self.flush(EXIT)
        else:
            while not self._queue.empty():
                self._handle(self._queue.get())
        if lost := self.dropped + self._queue.qsize():
            _logger.warning("otel-workflow: %d events of the engine were not taken", lost)
