"""Threads of the bus: started when needed, from anywhere, and gone when idle.

Sync handlers run here, so that they block no loop. Every worker waits at an inbox of its own, and who
needs one *takes* it from ``idle``: one atomic operation, so a waker can be a signal handler.

The threads are daemons, because a handler that hangs must not keep the process from ending;
``lifecycle`` gives the others their time at exit, and stops idle ones before a fork.
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, cast

from otel_workflow.bus import guard
from otel_workflow.bus.delivery import INSIDE, Call, now

if TYPE_CHECKING:
    from otel_workflow.bus.mailbox import Mailbox
    from otel_workflow.bus.shapes import AlarmClock

__all__ = ("LINGER", "Crew", "Worker", "launch", "refuse", "this_thread")

LINGER = 2.0
"""Seconds an idle thread waits for work before it ends."""


def launch(target: Callable[[], None], name: str, refused: Callable[[], None]) -> None:
    """Start a thread, from any thread and any signal handler; call ``refused`` if none can be had.

    ``Thread.start`` takes locks that the code we interrupt may hold, and waits for the new
    thread; so a bare thread does it for us.
    """
    try:
        _thread.start_new_thread(_start, (target, name))
    except RuntimeError:
        refused()


def _start(target: Callable[[], None], name: str) -> None:
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        # The interpreter has begun to end since we were started: no more threads, but there is us.
        target()


def this_thread() -> threading.Thread | None:
    """Return the thread we are in, for somebody to join; None for a bare one, which cannot be joined."""
    thread = threading.current_thread()
    return thread if thread.name.startswith("otel-workflow-bus") else None


class Crew:
    """The worker threads of one bus: as many as there are sync handlers running at once."""

    notices = False

    def __init__(self, timers: AlarmClock) -> None:
        self.timers = timers
        self.idle: deque[SimpleQueue[Mailbox | None]] = deque()
        self.threads: set[threading.Thread] = set()

    def wake(self, box: Mailbox) -> None:
        """Send a worker to a mailbox."""
        try:
            inbox = self.idle.pop()
        except IndexError:
            launch(lambda: Worker(self).run(box), "otel-workflow-bus-worker", lambda: refuse(box))
        else:
            inbox.put(box)

    def dismiss(self) -> list[threading.Thread]:
        """Ask the idle workers to end, and return all that are still there."""
        while self.idle:
            try:
                self.idle.pop().put(None)
            except IndexError:
                break
        return list(self.threads)


def refuse(box: Mailbox) -> None:
    """Drop what waits, since no thread can be started any more: the interpreter is ending."""
    box.clear("no_thread")
    box.awake = False


class Worker:
    """One thread that calls sync handlers; ``call`` is the delivery it is in the middle of."""

    __slots__ = ("box", "call", "check_at", "crew", "disowned", "since")

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.box: Mailbox | None = None
        self.call: Call | None = None
        self.since = 0.0
        self.check_at = math.inf
        """When ``check`` will look next; one timer serves many short calls."""
        self.disowned = False

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way here."""
        return self.call is not None

    def run(self, box: Mailbox | None) -> None:
        """Attend to one mailbox after the other, until there has been nothing to do for a while."""
        me, crew, inbox = this_thread(), self.crew, SimpleQueue["Mailbox | None"]()
        if me is not None:
            crew.threads.add(me)
        try:
            while box is not None:
                self.attend(box)
                box = None
                if self.disowned:
                    return
                crew.idle.append(inbox)
                try:
                    box = inbox.get(timeout=LINGER)
                except Empty:
                    try:
                        crew.idle.remove(inbox)
                    except ValueError:
                        box = inbox.get()  # somebody has just taken us
        finally:
            if me is not None:
                crew.threads.discard(me)

    def attend(self, box: Mailbox) -> None:
        """Handle what waits in one mailbox, until nothing does."""
        with box.lock:
            if len(box.lanes) >= box.limit:
                return  # its workers look again before they leave
            box.lanes.add(self)
        self.box = box
        while (call := self.next(box)) is not None:
            value, error = self.handle(box, call)
            with box.lock:
                if self.disowned:
                    box.returned(self)
                    return
                self.call = None
                box.conclude(call, value, error)
        box.report()

    def next(self, box: Mailbox) -> Call | None:
        """Take the next delivery; without one, leave the mailbox."""
        with box.lock:
            call = box.take()
            if call is None:
                box.lanes.discard(self)
                box.look_again()
                return None
            self.since = time.monotonic()
            self.call = call
            if len(box.lanes) < box.limit:
                box.look_again()
        if box.terms.timeout is not None:
            self.look_at(self.since + box.terms.timeout)
        return call

    def handle(self, box: Mailbox, call: Call) -> tuple[object, BaseException | None]:
        """Call the handler once, with the predicate before it."""
        INSIDE.set((*call.entry[2], box))
        call.started = now()
        error = box.select(call)
        if error is not None or call.skipped:
            return None, error
        value, error = guard.call(box.terms.handler, call.event)
        if value is not None and hasattr(type(value), "__await__"):
            # A plain function that returns a coroutine, such as a lambda: its loop has the rest.
            return box.awaits(cast("Awaitable[object]", value), box.terms.timeout)
        return value, error

    def look_at(self, when: float) -> None:
        """Have ``check`` look at the handler at a monotonic time, unless it will be earlier anyway."""
        if when < self.check_at:
            self.check_at = when
            self.crew.timers.after(when - time.monotonic(), self.check)

    def check(self) -> None:
        """Leave the handler to itself if its time is over; runs in the timer thread."""
        box = self.box
        if box is None or box.terms.timeout is None:
            return
        with box.lock:
            self.check_at = math.inf
            if self.call is None or self.disowned:
                return
            end = self.since + box.terms.timeout
            if end > time.monotonic():
                self.look_at(end)
                return
            box.abandon(self, self.disown(), TimeoutError(f"the handler took longer than {box.terms.timeout:g} s"))

    def interrupt(self) -> None:
        """Leave the handler to itself: a thread cannot be stopped."""
        box = self.box
        if box is not None:
            with box.lock:
                if self.call is not None and not self.disowned:
                    box.abandon(self, self.disown(), TimeoutError("the bus was closed before the handler ended"))

    def disown(self) -> Call | None:
        """Let go of the delivery that is under way, and return it."""
        call, self.call = self.call, None
        self.disowned = True
        return call
