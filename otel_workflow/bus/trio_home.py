"""Handlers in a trio run: a system task per mailbox that has something to do.

Imported only from inside a trio run. Trio has no cheap way to look behind a running task, so each
delivery is in a cancel scope of its own; the lanes are otherwise those of the asyncio home.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context

import trio

from otel_workflow.bus import guard
from otel_workflow.bus.delivery import INSIDE, Call, now
from otel_workflow.bus.mailbox import Mailbox

__all__ = ("GRACE", "TrioHome", "TrioLane")

GRACE = 1.0
TURN = 64


class TrioHome:
    """One trio run, with the lanes that call handlers in it; ``moved`` is called when it has ended."""

    notices = False

    def __init__(
        self,
        token: trio.lowlevel.TrioToken | None,
        moved: Callable[[TrioHome], None],
        after: Callable[[float, Callable[[], None]], bool],
    ) -> None:
        self.token = token
        self.moved = moved
        self.after = after
        self.ready: deque[Mailbox] = deque()
        self.lanes: set[TrioLane] = set()
        self.ended = False

    @property
    def alive(self) -> bool:
        """Whether the run can still run a handler."""
        if not self.ended:
            try:
                self.post(_nothing)
            except trio.RunFinishedError:
                self.ended = True
        return not self.ended

    def wake(self, box: Mailbox) -> None:
        """Start a lane for a mailbox; from any thread and any signal handler."""
        self.ready.append(box)
        self.rouse()

    def rouse(self) -> None:
        """Start the lanes that are wanted, from wherever we are."""
        try:
            if self.token is None or self.ended:
                self.moved(self)
            else:
                self.token.run_sync_soon(self.begin, idempotent=True)
        except trio.RunFinishedError:
            self.ended = True
            self.moved(self)

    def post(self, fn: Callable[[], object]) -> None:
        """Run a function soon in the run; RunFinishedError if there is none any more."""
        if self.token is None:
            raise trio.RunFinishedError
        self.token.run_sync_soon(fn)

    def submit(self, fn: Callable[[], object]) -> None:
        """Run a function in the run, however long that may take to come."""
        self.post(fn)

    def begin(self) -> None:
        """Start lanes for the mailboxes that have something; runs in the trio run."""
        while self.ready:
            try:
                box = self.ready.popleft()
            except IndexError:
                return
            if len(box.lanes) >= box.limit:
                continue  # its lanes look again before they leave
            lane = TrioLane(self, box)
            box.lanes.add(lane)
            self.lanes.add(lane)
            try:
                trio.lowlevel.spawn_system_task(lane.attend, name="otel-workflow-bus", context=Context())
            except RuntimeError:  # the run is just ending and takes no more tasks
                box.lanes.discard(lane)
                self.lanes.discard(lane)
                self.ready.appendleft(box)
                self.end()
                return

    def end(self) -> None:
        """Know that the run is about to end."""
        self.ended = True
        self.moved(self)


class TrioLane:
    """A task that calls the handler of one mailbox; ``call`` is the delivery it is in the middle of."""

    __slots__ = ("box", "call", "check_at", "disowned", "expired", "home", "scope", "since")

    def __init__(self, home: TrioHome, box: Mailbox) -> None:
        self.home = home
        self.box = box
        self.call: Call | None = None
        self.scope: trio.CancelScope | None = None
        self.since = 0.0
        self.check_at = math.inf
        self.disowned = False
        self.expired = ""

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way here."""
        return self.call is not None

    async def attend(self) -> None:
        """Handle what waits, until nothing does or the run ends."""
        box, home, turn, ending = self.box, self.home, 0, False
        try:
            while (call := box.take()) is not None:
                self.call = call
                if len(box.lanes) < box.limit:
                    box.look_again()
                value, error = await self.handle(call)
                if self.disowned:
                    box.returned(self)
                    return
                self.call = None
                box.conclude(call, value, error)
                turn += 1
                if _cancelled() or turn % TURN == 0:
                    await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            # The run ends; what waits is handled elsewhere.
            ending = True
            raise
        finally:
            home.lanes.discard(self)
            if not self.disowned:
                box.lanes.discard(self)
                if ending:
                    home.end()
                box.look_again()
                box.report()

    async def handle(self, call: Call) -> tuple[object, BaseException | None]:
        """Call the handler once, with the predicate before it."""
        box, timeout = self.box, self.box.terms.timeout
        INSIDE.set((*call.entry[2], box))
        call.started = now()
        error = box.select(call)
        if error is not None or call.skipped:
            return None, error
        self.expired = ""
        deadline = math.inf
        if timeout is not None:
            deadline = trio.current_time() + timeout
            self.since = time.monotonic()
            self.look_at(self.since + timeout + GRACE)
        with trio.CancelScope(deadline=deadline) as self.scope:
            value, error = await guard.finish(box.terms.handler, call.event)
        if self.scope.cancel_called and error is not None and not self.expired:
            error = TimeoutError(f"the handler took longer than {timeout:g} s")
        return value, error

    def look_at(self, when: float) -> None:
        """Have ``judge`` look at the handler at a monotonic time, unless it will be earlier anyway."""
        if when < self.check_at:
            self.check_at = when
            self.home.after(when - time.monotonic(), self.check)

    def check(self) -> None:
        """Have ``judge`` called in the trio run; runs in the timer thread."""
        try:
            self.home.post(self.judge)
        except trio.RunFinishedError:
            return

    def judge(self) -> None:
        """Leave the handler to itself if it goes on long after it was cancelled."""
        self.check_at = math.inf
        timeout = self.box.terms.timeout
        if self.call is None or self.disowned or timeout is None:
            return
        end = self.since + timeout + GRACE
        if end > time.monotonic():
            self.look_at(end)
        else:
            self.box.abandon(
                self, self.disown(), TimeoutError(f"the handler went on for {GRACE:g} s after it was cancelled")
            )

    def interrupt(self) -> None:
        """Cancel the handler, because the bus is closed."""
        try:
            self.home.post(self._cancel)
        except trio.RunFinishedError:
            return

    def _cancel(self) -> None:
        if self.call is not None and self.scope is not None:
            self.expired = "closed"
            self.scope.cancel()

    def disown(self) -> Call | None:
        """Let go of the delivery that is under way, and return it."""
        call, self.call = self.call, None
        self.disowned = True
        return call


def _nothing() -> None:
    pass


def _cancelled() -> bool:
    return trio.current_effective_deadline() == float("-inf")
