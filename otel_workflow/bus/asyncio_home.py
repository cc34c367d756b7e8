"""Handlers in an asyncio loop: few tasks for many handlers.

A *lane* is a task that calls handlers one after the other. One lane, the loop's *carrier*, goes
round all mailboxes that have something. The first step of its round plants ``look`` behind itself in
the loop's own queue: when ``look`` runs while the carrier is in the middle of a delivery, that handler
is waiting for something, so the carrier stays with it, its timeout begins, and another lane becomes the
carrier. So a handler that does not wait costs no task, no timer and no wake-up of its own, and
one that does wait holds up nobody. A lane ends when nothing is left: an idle bus leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context

from otel_workflow.bus import guard
from otel_workflow.bus.delivery import INSIDE, Call, Item, now
from otel_workflow.bus.mailbox import Mailbox

__all__ = ("GRACE", "AsyncioHome", "Lane", "post")

RECOVERY = 0.05
"""Seconds after all tasks were cancelled until we look whether the loop has survived it."""
TURNS = 64

GRACE = 1.0
"""Seconds a timed-out handler has to take its cancellation before it is left to itself."""


def awake_in(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether this code runs in a task of the loop.

    Then the loop cannot be asleep in ``select``, where a signal handler would find it and where
    ``call_soon`` would not wake it.
    """
    return asyncio._get_running_loop() is loop and asyncio.current_task(loop) is not None


def post(loop: asyncio.AbstractEventLoop, fn: Callable[[], object]) -> None:
    """Run a function soon in a loop; from any thread and any signal handler. RuntimeError if it is closed."""
    if awake_in(loop):
        loop.call_soon(fn)  # saves a write to the loop's pipe
    else:
        loop.call_soon_threadsafe(fn)


class AsyncioHome:
    """One asyncio loop, with the lanes that call handlers in it.

    ``ready`` are the mailboxes with something to do; ``awake`` says that a carrier is there or on its
    way. ``moved`` is called when the loop has ended, to find the mailboxes another home; ``after``
    calls a function after some seconds in a thread of the bus.
    """

    notices = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        moved: Callable[[AsyncioHome], None],
        after: Callable[[float, Callable[[], None]], bool],
    ) -> None:
        self.loop = loop
        self.moved = moved
        self.after = after
        self.ready: deque[Mailbox] = deque()
        self.awake = self.shaken = False
        self.carrier: Lane | None = None
        self.lanes: set[Lane] = set()

    @property
    def alive(self) -> bool:
        """Whether the loop can still run a handler; False once it is closed."""
        return self.loop is not None and not self.loop.is_closed()

    def wake(self, box: Mailbox) -> None:
        """Put a mailbox on the round, and start a round if none is under way."""
        self.ready.append(box)
        if not self.awake:
            self.awake = True
            self.rouse()

    def rouse(self) -> None:
        """Start a carrier from wherever we are."""
        loop = self.loop
        try:
            if loop is not None and loop.get_task_factory() is None and awake_in(loop):
                self.begin()  # an eager task factory would call handlers here and now
            else:
                self.post(self.begin)
        except RuntimeError:
            self.moved(self)

    def post(self, fn: Callable[[], object]) -> None:
        """Run a function soon in the loop; RuntimeError if there is none any more."""
        loop = self.loop
        if loop is None:
            message = "the loop has ended"
            raise RuntimeError(message)
        post(loop, fn)

    def submit(self, fn: Callable[[], object]) -> None:
        """Run a function in the loop, however long the loop may take to come; RuntimeError if it is closed."""
        self.post(fn)

    def begin(self) -> None:
        """Start a carrier, if anything is left to do; runs in the loop."""
        if self.loop is None or self.carrier is not None or self.shaken:
            return
        if not self.ready:
            self.awake = False
            if not self.ready:
                return
            self.awake = True
        lane = self.carrier = Lane(self, self.loop)
        self.lanes.add(lane)
        # An empty context: else handlers would see the variables of whoever happened to publish
        # first after a pause, its current span among them.
        task = self.loop.create_task(lane.carry(), name="otel-workflow-bus", context=Context())
        task.add_done_callback(lane.ended)

    def pass_on(self) -> None:
        """Let another lane become the carrier; runs in the loop."""
        self.carrier = None
        self.begin()

    def shake(self) -> None:
        """Somebody cancels all tasks. Most likely the loop ends; begin nothing in it until we know."""
        if self.shaken:
            return
        self.shaken = self.awake = True
        if not self.after(RECOVERY, self.recover):
            self.moved(self)

    def recover(self) -> None:
        """Go on: in this loop if it still runs, elsewhere if it is closed."""
        self.shaken = False
        if self.alive:
            self.rouse()
        else:
            self.moved(self)


class Lane:
    """A task that calls handlers; see the module's docstring.

    ``entry`` (with ``call``, when it is more than plain) is the delivery it is in the middle of.
    ``parked``: the handler has waited. ``expired``: we have cancelled it, and why. ``disowned``: it
    would not end, and the bus has gone on without it. ``leaving``: somebody else has cancelled it.
    """

    __slots__ = (
        "box", "call", "context", "disowned", "entry", "error", "expired", "home", "leaving", "loop",
        "parked", "started", "task", "timer", "value", "watched",
    )  # fmt: skip

    def __init__(self, home: AsyncioHome, loop: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self.loop = loop
        self.context = Context()
        """What ``look`` is called in; a copy of the running one for each call would cost more."""
        self.box: Mailbox | None = None
        self.task: asyncio.Task[None] | None = None
        self.entry: Item | None = None
        self.call: Call | None = None
        self.value: object = None
        self.error: BaseException | None = None
        self.started = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.parked = self.watched = self.disowned = self.leaving = False
        self.expired = ""

    @property
    def busy(self) -> bool:
        """Whether a delivery is under way here."""
        return self.entry is not None

    def carries(self) -> bool:
        """Whether it is the carrier."""
        return self.home.carrier is self

    # -- going round ----------------------------------------------------------------------------

    async def carry(self) -> None:
        """Go round the mailboxes that have something to do, until none has."""
        self.task = asyncio.current_task()
        home, ready, idle = self.home, self.home.ready, False
        while self.carries():
            while ready:
                try:
                    box = ready.popleft()
                except IndexError:  # moved away by another thread
                    break
                idle = False
                await self.attend(box)
                if self.disowned or self.leaving:
                    return
                if home.carrier is None:
                    home.carrier = self  # free again, and the round has nobody
                elif home.carrier is not self:
                    return
            if not idle:
                # Where much is published, more will be here when the loop has gone round once; a
                # new task would cost more than this wait.
                idle = True
                await asyncio.sleep(0)
                continue
            home.awake = False
            if not ready:
                home.carrier = None
                return
            home.awake = True

    async def attend(self, box: Mailbox) -> None:
        """Handle what waits in one mailbox, until nothing does."""
        if len(box.lanes) >= box.limit:
            return  # its lanes look again before they leave
        box.lanes.add(self)
        self.box = box
        turn = 0
        while True:
            if not self.watched:
                self.watch()
            if box.plain:
                await guard.serve(self, box)
            elif (call := box.take()) is not None:
                turn += 1
                await self.handle(box, call)
            if self.entry is not None or self.parked:
                self.settle(box)
            elif box.queue:
                turn = TURNS  # ``serve`` has used up its turn
            if turn >= TURNS:
                turn = 0
                await asyncio.sleep(0)
            if self.disowned:
                return
            if self.leaving or not (box.queue or box.due):
                break
        box.lanes.discard(self)
        box.look_again()
        if not box.light:
            box.ease()
        if box.lost:
            box.report()
        self.box = None

    async def handle(self, box: Mailbox, call: Call) -> None:
        """Call the handler once, with the predicate before it."""
        self.call, self.entry = call, call.entry
        INSIDE.set((*call.entry[2], box))
        call.started = now()
        self.error = box.select(call)
        if self.error is None and not call.skipped:
            self.value, self.error = await guard.finish(box.terms.handler, call.event)

    def settle(self, box: Mailbox) -> None:
        """Enter how the delivery ended, and make the lane fit for the next one."""
        entry, call, value, error = self.entry, self.call, self.value, self.error
        self.entry = self.call = self.value = self.error = None
        if self.parked:
            error = self.unpark(box, error)
        if self.disowned or entry is None:
            return
        if call is None:
            call = Call(entry)
            call.started = self.started
        box.conclude(call, value, error)

    # -- handlers that wait ---------------------------------------------------------------------

    def watch(self) -> None:
        """Have ``look`` run as soon as the loop gets the floor, before anything can wake this lane."""
        self.watched = True
        self.loop.call_soon(self.look, context=self.context)

    def look(self) -> None:
        """If the lane is in the middle of a delivery, its handler waits: then let others carry on."""
        self.watched = False
        box, home = self.box, self.home
        if self.entry is None or box is None or self.disowned:
            return
        self.parked = True
        if box.light:
            box.weigh_waiting()
        if box.terms.timeout is not None:
            self.timer = self.loop.call_later(box.terms.timeout, self.expire, "timeout")
        if len(box.lanes) < box.limit:
            box.look_again()
        if home.carrier is self:
            home.pass_on()

    def unpark(self, box: Mailbox, error: BaseException | None) -> BaseException | None:
        """Tell our own cancellation of the handler from everybody else's; return what it failed with."""
        self.parked = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        task = self.task
        if task is None:
            return error
        if self.expired:
            task.uncancel()
            if self.expired == "timeout":
                error = TimeoutError(f"the handler took longer than {box.terms.timeout:g} s")
            elif error is not None:
                error = asyncio.CancelledError("the bus was closed")
            self.expired = ""
        if task.cancelling():
            self.leaving = True
            self.home.shake()
        return error

    def expire(self, reason: str) -> None:
        """Cancel the handler, and leave it to itself if it does not mind."""
        if not self.busy or self.expired or self.task is None:
            return
        self.parked = True
        self.expired = reason
        if self.timer is not None:
            self.timer.cancel()
        self.task.cancel()
        self.timer = self.loop.call_later(GRACE, self.give_up)

    def give_up(self) -> None:
        """Go on without a handler that does not end."""
        box = self.box
        if self.busy and box is not None:
            box.abandon(
                self, self.disown(), TimeoutError(f"the handler went on for {GRACE:g} s after it was cancelled")
            )

    def interrupt(self) -> None:
        """Have the handler cancelled in its loop, because the bus is being closed."""
        try:
            self.home.post(lambda: self.expire("closed"))
        except RuntimeError:
            return  # the loop has ended, and the handler with it

    def disown(self) -> Call | None:
        """Let go of the delivery that is under way, and return it."""
        call, entry = self.call, self.entry
        self.entry = self.call = None
        self.disowned = True
        self.home.lanes.discard(self)
        return call or (Call(entry) if entry is not None else None)

    def ended(self, task: asyncio.Task[None]) -> None:
        """Clear up behind the task, which may have been cancelled before its first step."""
        home, box = self.home, self.box
        home.lanes.discard(self)
        if self.disowned and box is not None:
            box.returned(self)
            return
        if box is not None:
            box.lanes.discard(self)
            box.look_again()
        if task.cancelled():
            home.shake()
        if home.carrier is self:
            home.pass_on()
