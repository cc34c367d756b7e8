"""Delivery from inside the process: a thread that tails the journal and ships what is final.

It starts at the first event, stops before a fork and comes back at the next event. At the end of
the process it is waited for as long as answers arrive, and 0.3 s without one; what is left stays
in the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from otel_workflow.bridge.shipper import Shipper
from otel_workflow.guard import guarded
from otel_workflow.runtime.breath import Breath

__all__ = ("PATIENCE", "Delivery", "Line")

PATIENCE = 0.22
"""Longest wait without progress, in seconds; what else an exit does fits into the 0.3 s we promise."""
_SHORTEST, _LONGEST = 0.05, 1.0
_TURN, _SEND_TIMEOUT = 5.0, 10.0
_BREAK_OFF = 0.1
"""How long a send that was interrupted may take to end, in seconds."""
_REST = 10
"""After a fork the thread rests this many times as long as the fork had to wait: forking often costs a tenth."""


class Line(Protocol):
    """Something to ship from: a journal directory, or a journal in memory."""

    shipper: Shipper

    def acquire(self) -> bool:
        """Return True when this process may ship."""
        ...

    def drain(self, timeout: float, *, force: bool = False) -> bool:
        """Read and send; True when nothing waits any more."""
        ...

    def closing(self) -> None:
        """The process is about to end."""
        ...

    def release(self) -> None:
        """Let another process ship."""
        ...


class Delivery:
    """The thread and the waiting for it; ``make`` opens the line, anew in a forked child.

    ``elsewhere`` says, after ``finish``, that another process holds the lock and sends the rest.
    """

    def __init__(self, make: Callable[[], Line]) -> None:
        self._make = make
        self._breath = Breath()
        self._reset()

    def _reset(self) -> None:
        self.line = self._make()
        self.elsewhere = False
        self._used = False
        self._rest = 0.0
        self._thread: threading.Thread | None = None
        self._stuck: threading.Thread | None = None
        self._wake, self._idle = threading.Event(), threading.Event()
        self._turn = threading.Lock()
        self._stopped = self._paused = self._breath.in_haste = False

    def start(self) -> None:
        """Start the thread if it is not running; called at every event, so it is cheap."""
        if self._thread is not None or self._stopped or not self._turn.acquire(blocking=False):
            return
        try:
            self._used = True
            if self._thread is None and not (self._stuck is not None and self._stuck.is_alive()):
                thread = threading.Thread(target=self._run, name="otel-workflow-delivery", daemon=True)
                self._thread = thread
                thread.start()
        except RuntimeError:
            self._thread, self._stopped = None, True  # the interpreter is shutting down: the journal has it all
        finally:
            self._turn.release()

    def _run(self) -> None:
        me, line, pause, connected = threading.current_thread(), self.line, _SHORTEST, False
        line.shipper.pump.breathe = self._breath
        line.shipper.turn = _TURN
        self._wake.wait(self._rest)
        while self._thread is me and not self._stopped:
            before = line.shipper.books.delivered
            if guarded(False, line.acquire):
                if not connected:
                    connected = True
                    guarded(None, line.shipper.connect, 5.0)
                if guarded(False, line.drain, _TURN + _SEND_TIMEOUT):
                    self._idle.set()
            pause = _SHORTEST if line.shipper.books.delivered != before else min(pause * 1.5, _LONGEST)
            self._wake.wait(pause)
            self._wake.clear()

    def stop(self) -> None:
        """Stop the thread, before a fork; a send is waited for as long as our patience, then broken off."""
        thread, self._thread = self._thread, None
        self._paused = thread is not None
        if thread is None or thread is threading.current_thread():
            return
        began, client = time.monotonic(), self.line.shipper.client
        self._breath.in_haste = True
        self._wake.set()
        thread.join(0.0 if thread is self._stuck else PATIENCE)
        end = time.monotonic() + _BREAK_OFF
        while thread.is_alive() and time.monotonic() < end:
            guarded(None, client.interrupt)  # again and again: it may have been about to send
            thread.join(_BREAK_OFF / 10)
        self._stuck = thread if thread.is_alive() else None
        if self._stuck is None:
            guarded(None, client.before_fork)
            self._wake.clear()
        self._rest = min(_REST * (time.monotonic() - began), _LONGEST)

    def resume(self) -> None:
        """Go on after a fork, if the thread was running before it: a line is for one thread at a time."""
        if not self._paused:
            return
        self._breath.in_haste = False
        if self._stuck is not None and self._stuck.is_alive():
            self._thread = self._stuck  # it never noticed
        else:
            self.start()

    def after_fork_in_child(self) -> None:
        """Leave the parent's lock, connection and thread to the parent."""
        self.line.release()
        self._reset()

    def flush(self, timeout: float) -> bool:
        """Wait until everything so far was acknowledged; False when time ran out."""
        self.start()
        deadline = time.monotonic() + timeout
        self.line.shipper.not_before = 0.0
        self._breath.in_haste = True
        try:
            return self._is_idle_twice(deadline)
        finally:
            self._breath.in_haste = False

    def _is_idle_twice(self, deadline: float) -> bool:
        for _ in range(2):  # the first round may have begun before the newest record
            self._idle.clear()
            self._wake.set()
            while not self._idle.wait(0.1):
                self._wake.set()  # a fork meanwhile lets the thread rest
                if time.monotonic() >= deadline:
                    return False
                self.start()
        return True

    def finish(self, deadline: float) -> bool:
        """Wait for the rest at the end of the process; True when nothing is left of it.

        Gives up after ``deadline`` seconds, or 0.3 s in which the network did nothing useful. Does
        not wait at all where this process recorded nothing, or where another one has the lock and
        sends what we leave: then ``elsewhere`` is set.
        """
        if not self._used:
            return True
        self.elsewhere = not guarded(False, self.line.acquire)
        done = not self.elsewhere and self._wait_for_the_rest(deadline)
        self._stopped = True
        self._wake.set()
        return done

    def _wait_for_the_rest(self, deadline: float) -> bool:
        self.line.closing()
        self.line.shipper.not_before = 0.0
        self._breath.in_haste = True
        end, books = time.monotonic() + deadline, self.line.shipper.books
        seen, failed, since, rounds = books.progress, books.failures, time.monotonic(), 2
        self._idle.clear()
        self._wake.set()
        while rounds:
            self.start()
            if self._thread is None and self._stopped:  # no thread can be had any more
                return bool(guarded(False, self.line.drain, min(deadline, PATIENCE)))
            if self._idle.wait(0.01):
                rounds -= 1
                self._idle.clear()
                self._wake.set()
                continue
            now = time.monotonic()
            if books.progress != seen:
                seen, since = books.progress, now
            if now >= end or now - since >= PATIENCE or books.failures != failed:
                return False  # after a failure the next try would come later than our patience lasts
        return True
