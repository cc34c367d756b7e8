"""The queue of one subscription: bounded, in order per run, retrying.

Publishers only ``put``; they take no lock, because a publisher may be a signal handler that
interrupted this very code. Everything else is done by the *lanes* that call the handler: tasks of one
event loop, or worker threads that hold ``lock``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Protocol

from otel_workflow.bus import guard
from otel_workflow.bus.delivery import Call, Entry, Item, now, whole
from otel_workflow.bus.results import EventHandlerResult, complete
from otel_workflow.bus.retry import delay_before
from otel_workflow.bus.statistics import Books
from otel_workflow.bus.subscription import Terms
from otel_workflow.bus.weight import weigh

__all__ = ("UNWEIGHED", "Home", "Lane", "Mailbox")

MAX_HUNG = 4

UNWEIGHED = 256 * 1024
"""What each event that is not weighed may take of ``max_bytes``."""
_FEW = 64

_log = logging.getLogger("otel_workflow.bus")


class Lane(Protocol):
    """Something that calls handlers one after the other: a task or a worker thread."""

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of a delivery."""
        ...

    def interrupt(self) -> None:
        """Cancel the delivery it is in the middle of; from any thread."""
        ...

    def disown(self) -> Call | None:
        """Count no more on this lane, whatever becomes of it; return the delivery it was in."""
        ...


class Home(Protocol):
    """Where a mailbox's handler runs.

    ``notices``: it calls ``weigh_waiting`` as soon as a handler takes its time.
    """

    notices: bool

    def wake(self, box: Mailbox) -> None:
        """See to it that a lane attends to the mailbox; from any thread and any signal handler."""
        ...


class Mailbox:
    """What waits for one handler, and what is to be done with it.

    ``queue`` is what publishers fill, up to ``room`` events. Beside it lie, and take from ``room``:
    ``held`` (per run, what waits for an earlier event of the same run), ``due`` (to be handled before
    the queue), and ``backing`` (failed, waiting for its retry). ``awake`` says that somebody will look at the queue.
    ``plain`` allows the fast loop of ``guard.serve``: nothing but calls in the order of the queue.

    To weigh an event costs as much as to deliver it. So where handlers keep up nothing is weighed:
    while fewer than ``light`` events are in the queue, the next one comes in with 0 bytes. When a handler
    waits for something or has to be called again, what waits is weighed and ``light`` is 0 until nothing
    waits any more. ``light`` is never so much that events of ``UNWEIGHED`` bytes could exceed ``max_bytes``.
    """

    __slots__ = (
        "after", "awaits", "awake", "backing", "books", "bytes", "dead", "due", "gone", "held", "home", "hung", "id",
        "lanes", "light", "lightest", "limit", "lock", "lost", "max_bytes", "ordered", "plain", "queue",
        "reported", "room", "simple", "terms",
    )  # fmt: skip

    def __init__(
        self,
        id: str,  # noqa: A002 - its name everywhere in the bus
        terms: Terms,
        books: Books,
        home: Home,
        after: Callable[[float, Callable[[], None]], bool],
    ) -> None:
        self.id = id
        self.terms = terms
        self.books = books
        self.home = home
        self.after = after
        """Calls a function after some seconds, in a thread of the bus; False if it never will."""
        self.dead: Mailbox | None = None
        self.awaits: Callable[[Awaitable[object], float | None], tuple[object, BaseException | None]] = _cannot_await
        """Runs the coroutine that a sync handler returned in the subscriber's loop, and waits for it."""
        self.limit = terms.max_concurrent
        self.ordered = terms.ordered
        self.max_bytes = terms.max_bytes
        # With several lanes each call must mark its run as busy, which the fast loop does not.
        self.simple = terms.predicate is None and (self.limit == 1 or not self.ordered)
        self.lightest = min(_FEW, self.max_bytes // UNWEIGHED, terms.max_items // 2) if home.notices else 0
        """What ``light`` is where all is well; half of the items, as publishers may race each other."""
        self.reset()

    def reset(self) -> None:
        """Begin empty, as a forked child does."""
        self.lock = threading.RLock()
        self.queue: deque[Item] = deque()
        self.held: dict[str | None, deque[Call]] = {}
        self.due: deque[Call] = deque()
        self.backing: set[Call] = set()
        self.lanes: set[Lane] = set()
        self.hung: set[Lane] = set()
        self.bytes = 0
        self.light = self.lightest
        self.room = self.terms.max_items
        self.awake = self.reported = False
        self.gone = ""
        """Why nothing is handled any more, or empty."""
        self.lost = 0
        self.plain = self.simple

    # -- the publisher's side -------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """Take a weighed event in and see that somebody handles it."""
        queue, size = self.queue, entry[1]
        queue.append(entry)
        self.bytes = load = self.bytes + size
        if load > self.max_bytes or len(queue) > self.room:
            self.make_room()
        if not self.awake:
            self.awake = True
            self.home.wake(self)

    def wake(self) -> None:
        """See to it that a lane looks at the queue."""
        self.awake = True
        self.home.wake(self)

    @property
    def full(self) -> bool:
        """Whether more waits than was agreed on."""
        return self.bytes > self.max_bytes or len(self.queue) > self.room

    def make_room(self) -> None:
        """Drop what is over the bounds: the oldest or the newest, as was agreed on."""
        while self.full:
            entry = self._oldest() if self.terms.overflow == "drop_oldest" else self._newest()
            if entry is None:
                return
            self.drop(entry, "overflow")

    def _oldest(self) -> Entry | None:
        # ``list()`` of a dict's values is atomic, where iterating over them is not.
        for waiting in list(self.held.values()):
            try:
                call = waiting.popleft()
            except IndexError:
                continue
            self.room += 1
            self.bytes -= call.size
            return call.entry
        try:
            entry = whole(self.queue.popleft())
        except IndexError:
            return None
        self.bytes -= entry[1]
        return entry

    def _newest(self) -> Entry | None:
        try:
            entry = whole(self.queue.pop())
        except IndexError:
            return None
        self.bytes -= entry[1]
        return entry

    def drop(self, entry: Entry, reason: str) -> None:
        """Count an event as dropped, and tell who waits for its result. Logs nothing: see ``report``."""
        self.books.drop(reason)
        self.lost += reason == "overflow"
        if entry[3] is not None:
            entry[3].settle(self._result(None, message=f"dropped: {reason}"))

    # -- the lanes' side ------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether a lane would find something to do."""
        return bool(self.queue or self.due)

    def take(self) -> Call | None:
        """Return the next delivery, or None; it keeps its run's order until ``conclude``."""
        while True:
            if self.gone:
                self.clear(self.gone)
                return None
            try:
                call = self.due.popleft()
            except IndexError:
                pass
            else:
                self.room += 1
                self.bytes -= call.size
                return call
            try:
                call = Call(self.queue.popleft())
            except IndexError:
                self.plain = self.simple and not self.held
                return None
            if self.ordered and (self.held or self.limit > 1) and not self._claim(call):
                continue
            self.bytes -= call.size
            return call

    def _claim(self, call: Call) -> bool:
        """Make the call the one of its run, or put it behind the one that is."""
        key = order_key(call)
        if (waiting := self.held.get(key)) is not None:
            if not call.size:
                self.bytes += self._weigh(call)
            waiting.append(call)
            self.room -= 1
            return False
        if self.limit > 1:
            self.held[key] = deque()
            call.key = key
        return True

    def select(self, call: Call) -> BaseException | None:
        """Ask the predicate whether the event is for the handler; return what it raised, if it did."""
        if self.terms.predicate is None:
            return None
        wanted, error = guard.call(self.terms.predicate, call.event)
        if error is None:
            truth, error = guard.call(bool, wanted)
            call.skipped = not truth and error is None
        return error

    def conclude(self, call: Call, value: object = None, error: BaseException | None = None) -> None:
        """Enter how a call ended: delivered, to be tried again, or given up."""
        if error is not None and not self.gone and self._try_again(call):
            return
        self.books.delivered += 1
        failed = error is not None or (isinstance(value, EventHandlerResult) and not value.success)
        if failed:
            self.books.failed += 1
            self._give_up(call, value, error)
        collector = call.entry[3]
        if collector is not None:
            collector.settle(
                self._result(value, error=error, call=call, extra={"skipped": True} if call.skipped else {})
            )
        if call.key is not False:
            self._release(call.key)

    def _try_again(self, call: Call) -> bool:
        if call.attempt > self.terms.max_retries:
            return False
        self.books.retried += 1
        call.attempt += 1
        if self.ordered and call.key is False:
            call.key = order_key(call)
            self.held.setdefault(call.key, deque())
        self.plain = False
        self.room -= 1
        size = call.size or self._weigh(call)
        self.bytes += size
        self.backing.add(call)
        if self.after(delay_before(call.attempt, self.terms.retry_backoff), lambda: self._come_back(call)):
            return True
        self.backing.discard(call)
        self.room += 1
        self.bytes -= call.size
        self.books.retried -= 1
        call.attempt -= 1
        return False

    def _come_back(self, call: Call) -> None:
        try:
            self.backing.remove(call)
        except KeyError:
            return  # dropped in the meantime
        self.due.append(call)
        self.plain = False
        if not self.awake:
            self.wake()

    def _release(self, key: str | bool | None) -> None:
        """Let the next event of a run come forward, or forget the run."""
        waiting = self.held.get(key)  # type: ignore[arg-type]
        if waiting is None:
            return
        try:
            following = waiting.popleft()
        except IndexError:
            del self.held[key]  # type: ignore[arg-type]
        else:
            following.key = key
            self.due.append(following)
        self.plain = self.simple and not (self.held or self.due or self.gone)

    def _give_up(self, call: Call, value: object, error: BaseException | None) -> None:
        _log.error(
            "handler of subscription %s failed on event %s (%s), attempt %d: %s",
            self.id, call.event.id, call.event.type, call.attempt,
            self._result(value, error=error).error_message,
            exc_info=error,
        )  # fmt: skip
        if self.dead is not None:
            self.books.published += 1
            self.dead.put((call.event, call.size or self._weigh(call), call.entry[2], None))

    def _result(
        self,
        value: object,
        *,
        error: BaseException | None = None,
        message: str | None = None,
        call: Call | None = None,
        extra: dict[str, object] | None = None,
    ) -> EventHandlerResult:
        return complete(
            value,
            subscription_id=self.id,
            error=error,
            message=message,
            attempts=call.attempt if call is not None else 0,
            duration=now() - call.started if call is not None and call.started else 0.0,
            extra=extra or {},
        )

    def report(self) -> None:
        """Say once that this subscription loses events; a lane says it, since a publisher must not log."""
        if self.lost and not self.reported:
            self.reported = True
            _log.warning(
                "the bus drops events of a subscription that cannot keep up (the first one seen: %s, %s)",
                self.id, self.terms.description or "no description",
            )  # fmt: skip

    def abandon(self, lane: Lane, call: Call | None, error: BaseException) -> None:
        """Go on without a handler that neither returns nor can be stopped.

        Each leaves a task or a thread behind; with ``MAX_HUNG`` of them nothing more is begun until
        one comes back, and what comes in meanwhile is subject to the bounds of the queue.
        """
        self.lanes.discard(lane)
        self.hung.add(lane)
        if call is not None:
            self.conclude(call, None, error)
        if len(self.hung) < MAX_HUNG:
            self.look_again()

    def returned(self, lane: Lane) -> None:
        """Note that an abandoned handler has come back after all."""
        self.hung.discard(lane)
        self.look_again()

    def look_again(self) -> None:
        """Wake a lane if something waits; otherwise the next event will."""
        self.awake = False
        if (self.queue or self.due) and not self.awake:
            self.wake()

    # -- what waits unweighed -------------------------------------------------------------------

    def _weigh(self, call: Call) -> int:
        """Weigh an event that is kept after all, and let no more in unweighed for now."""
        self.light = 0
        call.size = size = weigh(call.event)
        return size

    def weigh_waiting(self) -> None:
        """Weigh what waits, since a handler takes its time; drop what is too much.

        Only where no lane can take anything meanwhile: in a callback of their loop. Publishers may
        interfere; what they append or drop is not lost.
        """
        self.light = 0
        queue = self.queue
        # Unweighed ones came in behind fewer than ``lightest`` others; twice that, as publishers race.
        waiting = list(islice(queue, 2 * self.lightest))
        sizes = {id(item): weigh(entry[0]) for item in waiting if not (entry := whole(item))[1]}
        if not sizes:
            return
        taken: list[Item] = []
        more = 0
        try:
            for _ in waiting:
                item = queue.popleft()
                if (size := sizes.get(id(item))) is not None:
                    event, _, inside, collector = whole(item)
                    item = (event, size, inside, collector)
                    more += size
                taken.append(item)
        except IndexError:
            pass
        queue.extendleft(reversed(taken))
        self.bytes += more
        if self.gone:
            self.clear(self.gone)
        if self.full:
            self.make_room()

    def ease(self) -> None:
        """Let events in unweighed again, if nothing waits."""
        if not (self.queue or self.due or self.held or self.backing):
            self.light = self.lightest

    # -- the end --------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Deliveries that are waiting, running, or waiting for a retry; counted where they lie."""
        held = sum(map(len, list(self.held.values())))
        running = sum(lane.busy for lane in list(self.lanes))
        return len(self.queue) + held + len(self.due) + len(self.backing) + running

    def clear(self, reason: str) -> None:
        """Drop everything that waits."""
        while True:
            try:
                entry = whole(self.queue.popleft())
            except IndexError:
                break
            self.bytes -= entry[1]
            self.drop(entry, reason)
        lots: list[deque[Call] | set[Call]] = [*list(self.held.values()), self.due, self.backing]
        for calls in lots:
            while calls:
                try:
                    call = calls.pop()
                except (IndexError, KeyError):
                    break
                self.room += 1
                self.bytes -= call.size
                self.drop(call.entry, reason)

    def leave(self, reason: str) -> None:
        """Handle nothing more: drop what waits, let what runs come to its end."""
        self.gone = reason
        self.plain = False
        self.clear(reason)


def _cannot_await(value: Awaitable[object], timeout: float | None) -> tuple[object, BaseException | None]:  # noqa: ARG001
    return value, None


def order_key(call: Call) -> str | None:
    """Return what a call is kept in order within: its run, or its correlation id, or nothing in particular."""
    event = call.event
    return event.run_id if event.run_id is not None else event.correlation_id
