"""The bus: publish, subscribe, and nothing that a handler does ever reaches the publisher."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from itertools import count
from typing import Any, TypeVar, overload

from otel_workflow.bus import guard
from otel_workflow.bus.delivery import INSIDE, MAX_DEPTH, Collector, Entry, Item
from otel_workflow.bus.homes import Homes, make_signal, pause
from otel_workflow.bus.lifecycle import look_after
from otel_workflow.bus.mailbox import UNWEIGHED, Mailbox
from otel_workflow.bus.results import (
    EventHandlerResult,
    WorkflowEventDispatchResult,
    complete,
)
from otel_workflow.bus.routes import Routes, matcher
from otel_workflow.bus.shapes import Box
from otel_workflow.bus.statistics import Books, BusStatistics
from otel_workflow.bus.subscription import (
    Handler,
    Overflow,
    Subscription,
    SubscriptionId,
    Terms,
    is_async,
)
from otel_workflow.bus.threads import Crew
from otel_workflow.bus.timeline import log_event
from otel_workflow.bus.timers import Timers
from otel_workflow.bus.weight import weigh
from otel_workflow.clock import SystemClock
from otel_workflow.events import Event, WorkflowEvent
from otel_workflow.masking import mask_logs

__all__ = ("Sink", "WorkflowEventBus")

H = TypeVar("H", bound=Handler)
Sink = Callable[[Event], object]

_inside = INSIDE.get
EXIT_STALL = 0.3
"""Seconds the end of the process waits for handlers that make no progress."""
EXIT_LIMIT = 2.0
"""Seconds the end of the process waits for handlers at all."""
FORK_WAIT = 0.1
"""Seconds a fork waits for the bus's idle threads to end."""
CLOSE_GRACE = 1.5
"""Seconds ``aclose`` waits for cancelled handlers to take it."""


class WorkflowEventBus:
    """An in-process bus for workflow events, with the signatures of crackerjack's.

    ``publish_nowait`` hands an event over and returns; ``await publish`` waits for the results.
    Neither raises anything a handler or the journal raised, and no handler, retry or hang delays
    the publisher beyond ``publish``'s own ``timeout``. An async handler runs in the event loop
    (asyncio or trio) it was subscribed from, or in the bus's own; a sync one in a worker thread.
    Publishing works with no loop, from any thread, in signal handlers and in ``__del__``.
    """

    has_listeners: bool
    """Whether anybody has subscribed. Ask before making an event that nobody wants."""

    def __init__(self) -> None:
        mask_logs()  # what a handler raises is logged, and may quote anything
        self.has_listeners = False
        self._closed = False
        self._books = Books()
        self._timers = Timers()
        self._crew = Crew(self._timers)
        self._homes = Homes(self._timers.after, self._move)
        self._boxes: dict[str, Mailbox] = {}
        self._patterns: dict[str, str | None] = {}
        self._leaving: set[Mailbox] = set()
        """Mailboxes of no subscription any more, whose last handlers may still be running; dead-letter ones."""
        self._routes: Routes[Mailbox] = Routes()
        self._lock = threading.RLock()
        self._sink: Sink | None = None
        self._timeline = False
        self._clock = SystemClock()
        self._numbers = count(1)
        self._prefix = os.urandom(8).hex()

    # -- subscribing ----------------------------------------------------------------------------

    @overload
    def subscribe(
        self,
        event_type: WorkflowEvent | str | None,
        handler: Handler,
        *,
        predicate: Callable[[Event], bool] | None = None,
        max_concurrent: int | None = None,
        description: str | None = None,
        max_retries: int = 0,
        retry_backoff: float = 0.5,
        ordered: bool = True,
        timeout: float | None = 30.0,
        max_items: int = 10_000,
        max_bytes: int = 16_777_216,
        overflow: Overflow = "drop_oldest",
        dead_letter: Handler | None = None,
    ) -> SubscriptionId: ...

    @overload
    def subscribe(
        self, event_type: WorkflowEvent | str | None, handler: None = None, **same: Any
    ) -> Callable[[H], H]: ...

    def subscribe(
        self,
        event_type: WorkflowEvent | str | None,
        handler: Handler | None = None,
        *,
        max_concurrent: int | None = None,
        **terms: Any,
    ) -> SubscriptionId | Callable[[H], H]:
        """Have a handler called with every event of a type; return the subscription's id.

        ``event_type`` is exact, ``hooks.*``, ``*.failed``, or None for all. Without a handler this is a
        decorator. The id ends the subscription at the end of a ``with`` block, or by ``unsubscribe``.

        ``predicate`` passes over events for which it is false. ``max_concurrent`` (None: one) calls run
        at once; events of one run (or correlation id) stay in order unless ``ordered`` is false. A
        handler that raises is called ``max_retries`` times more, first after ``retry_backoff`` seconds
        and then after twice as long each time, jittered; then ``dead_letter`` gets the event. After
        ``timeout`` seconds (None: never) a handler is cancelled, or left behind in its thread.

        At most ``max_items`` events or ``max_bytes`` (estimated) wait; then ``overflow`` says which go:
        the oldest, the newest, or (``"block"``) none, as ``await publish`` waits for room; for
        ``publish_nowait`` that is the newest. While an async handler keeps up, the bytes of the first few
        events in its queue (64, or fewer where ``max_bytes`` is small) are not looked at.

        :raises ConfigError: a handler cannot be called, or ``overflow`` is none of these.
        """
        if handler is None:
            return partial(self._decorate, event_type, max_concurrent=max_concurrent, **terms)
        agreed = Terms(handler, max_concurrent=max_concurrent or 1, **terms)
        pattern = event_type.value if isinstance(event_type, Enum) else event_type
        subscription_id = SubscriptionId(os.urandom(16).hex())
        subscription_id.bus = self
        box = self._open(str(subscription_id), agreed)
        if agreed.dead_letter is not None:
            box.dead = self._open(f"{subscription_id}/dead-letter", Terms(agreed.dead_letter, timeout=agreed.timeout))
        look_after(self)
        with self._lock:
            if box.dead is not None:
                self._leaving.add(box.dead)
            if not self._closed:
                self._boxes = {**self._boxes, box.id: box}
                self._patterns = {**self._patterns, box.id: None if pattern is None else str(pattern)}
                self._rewire()
        return subscription_id

    def _decorate(self, event_type: WorkflowEvent | str | None, handler: H, **terms: Any) -> H:
        self.subscribe(event_type, handler, **terms)
        return handler

    def _open(self, name: str, terms: Terms) -> Mailbox:
        here = self._homes.here() if is_async(terms.handler) else None
        box = Mailbox(name, terms, self._books, here or self._crew, self._timers.after)
        if here is None:
            box.awaits = self._homes.borrow()
        return box

    def _rewire(self) -> None:
        """Work the routes out anew. Publishers read ``_routes`` once, so they see all of it or none."""
        self._routes = Routes(tuple((matcher(self._patterns[name]), box) for name, box in self._boxes.items()))
        self.has_listeners = bool(self._boxes)
        self._leaving = {box for box in self._leaving if box.queued or not box.gone}

    def unsubscribe(self, subscription_id: str) -> bool:
        """End a subscription; return whether there was one. What waited is dropped and counted."""
        with self._lock:
            box = self._boxes.get(str(subscription_id))
            if box is None:
                return False
            self._boxes = {name: other for name, other in self._boxes.items() if other is not box}
            self._leaving.add(box)
            self._rewire()
        box.leave("unsubscribed")
        return True

    def list_subscriptions(self) -> list[Subscription]:
        """Return all subscriptions, the oldest first."""
        patterns = self._patterns
        return [
            Subscription(name, patterns[name] or "*", box.terms.description, box.limit)
            for name, box in self._boxes.items()
        ]

    def register_logging_handler(self) -> None:
        """Log every event at INFO on ``otel_workflow.timeline``; a second call changes nothing."""
        with self._lock:
            if self._timeline:
                return
            self._timeline = True
        self.subscribe(None, log_event, description="workflow.logging")

    # -- publishing -----------------------------------------------------------------------------

    def publish_nowait(
        self,
        event_type: WorkflowEvent | str,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "otel_workflow",
        correlation_id: str | None = None,
        **metadata: Any,
    ) -> Event:
        """Make an event, hand it over and return it; handlers run later, elsewhere.

        Keywords of any other name go to the event's headers.
        """
        event = self._make(event_type, payload, source, correlation_id, metadata)
        if self._sink is not None:
            self._record(event)
        self.emit(event)
        return event

    async def publish(
        self,
        event_type: WorkflowEvent | str,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "otel_workflow",
        correlation_id: str | None = None,
        timeout: float | None = 30.0,
        **metadata: Any,
    ) -> WorkflowEventDispatchResult:
        """Make an event, hand it over, and wait until all its handlers have ended.

        After ``timeout`` seconds (None: never) the missing results are failures with a TimeoutError; the
        handlers go on, as they do when the publisher is cancelled. A subscription whose handler is
        itself the publisher is not waited for (``metadata["pending"]``): it could never end.
        """
        event = self._make(event_type, payload, source, correlation_id, {**metadata, "timeout": timeout})
        if self._sink is not None:
            self._record(event)
        boxes = self._routes[event.type]
        if not boxes or self._closed:
            self.emit(event)
            return WorkflowEventDispatchResult(event)
        deadline = time.monotonic() + timeout if timeout is not None else None
        inside = INSIDE.get()
        signal = make_signal()
        collector = Collector(sum(box not in inside for box in boxes), signal.set)
        entry: Entry = (event, weigh(event), inside, collector)
        for box in boxes:
            if box.terms.overflow == "block" and box not in inside:
                await _room(box, entry[1], deadline)
            self._put(box, entry)
        if collector.expected > 0 and len(collector.results) < collector.expected:
            await signal.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return WorkflowEventDispatchResult(event, [_result(box, collector, inside, timeout) for box in boxes])

    def emit(self, event: Event, size: int | None = None) -> None:
        """Hand over an event that is already made and, if there is a journal, already in it.

        ``size`` in bytes saves an estimate, where the journal has just measured the event.
        """
        if not self.has_listeners and not self._closed:
            return
        routes = self._routes
        try:
            boxes = routes.known[event.type]
        except KeyError:
            boxes = routes[event.type]
        inside = _inside()
        if len(boxes) == 1 and not inside and (size is None or size <= UNWEIGHED):
            # ``_hand_over``, written out for what is most frequent: one subscription that keeps up.
            box = boxes[0]
            queue = box.queue
            if len(queue) < box.light:
                self._books.published += 1
                queue.append(event)
                if not box.awake:
                    box.awake = True
                    box.home.wake(box)
                return
        self._hand_over(event, size, boxes, inside)

    def _hand_over(self, event: Event, size: int | None, boxes: tuple[Mailbox, ...], inside: tuple[Box, ...]) -> None:
        """Put an event into mailboxes, of which there may be none."""
        books, copies = self._books, len(boxes)
        if not copies:
            if self._closed:
                books.published += 1
                books.closed += 1
            return
        books.published += copies
        item: Item = event
        if inside:
            if len(inside) > MAX_DEPTH:
                books.depth += copies
                return
            item = (event, 0, inside, None)
        weighed: Entry | None = None
        for box in boxes:
            queue = box.queue
            if len(queue) < box.light and (size is None or size <= UNWEIGHED):
                queue.append(item)
                if not box.awake:
                    box.awake = True
                    box.home.wake(box)
            else:
                weighed = weighed or (event, size or weigh(event), inside, None)
                box.put(weighed)

    def _put(self, box: Mailbox, entry: Entry) -> None:
        self._books.published += 1
        if len(entry[2]) > MAX_DEPTH:
            box.drop(entry, "depth")
        elif box.gone:
            box.drop(entry, box.gone)
        else:
            box.put(entry)

    def _make(
        self,
        event_type: WorkflowEvent | str,
        payload: Mapping[str, Any] | None,
        source: str,
        correlation_id: str | None,
        metadata: dict[str, Any],
    ) -> Event:
        if isinstance(event_type, Enum):
            event_type = str(event_type.value)
        copied: Mapping[str, Any] = {}
        if payload:
            copied = dict(payload) if type(payload) is dict else guard.call(dict, payload)[0] or {}
        return Event(
            id=f"{self._prefix}-{next(self._numbers)}",
            type=event_type,
            source=source,
            time_ns=self._clock.now()[0],
            payload=copied,
            correlation_id=correlation_id,
            headers=metadata,
        )

    def attach_sink(self, sink: Sink | None) -> Sink | None:
        """Have every published event written down by ``sink`` before any handler sees it; None to end that.

        Returns the sink that was attached before.
        """
        before, self._sink = self._sink, sink
        return before

    def _record(self, event: Event) -> None:
        sink = self._sink
        if sink is not None and guard.call(sink, event)[1] is not None:
            self._books.published += 1
            self._books.sink += 1

    # -- the books ------------------------------------------------------------------------------

    def statistics(self) -> BusStatistics:
        """Return the books: ``published == delivered + queued + sum(dropped.values())``."""
        return self._books.read(sum(box.queued for box in self._all()))

    def _all(self) -> list[Mailbox]:
        return [*self._boxes.values(), *list(self._leaving)]

    def _queued(self, inside: tuple[Box, ...]) -> int:
        return sum(box.queued for box in self._all() if box not in inside)

    # -- the end --------------------------------------------------------------------------------

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Take no more events, give the waiting ones ``drain`` seconds, drop the rest, stop.

        Handlers that are still running are cancelled then, and counted as failed. A second call
        does nothing. Publishing into a closed bus is counted as dropped and raises nothing.
        """
        if self._closed:
            return
        self._closed = True
        inside = INSIDE.get()
        try:
            end = time.monotonic() + drain
            while self._queued(inside) and time.monotonic() < end:
                self._nudge()
                await pause(0.002)
            self._part(inside)
            end = time.monotonic() + CLOSE_GRACE
            while self._queued(inside) and time.monotonic() < end:
                await pause(0.002)
        finally:
            self._stop(inside)

    def _nudge(self) -> None:
        """See to it that no mailbox was forgotten by a loop that has ended without a word."""
        for box in self._all():
            if box.waiting and not getattr(box.home, "alive", True):
                self._move(box.home)

    def _part(self, inside: tuple[Box, ...]) -> None:
        """End all subscriptions: drop what waits, cancel what runs."""
        with self._lock:
            boxes = self._all()
            self._leaving.update(self._boxes.values())
            self._boxes = {}
            self._rewire()
        for box in boxes:
            box.leave("closed")
            if box not in inside:
                for lane in list(box.lanes):
                    lane.interrupt()

    def _stop(self, inside: tuple[Box, ...] = ()) -> None:
        self._closed = True
        if self._boxes:
            self._part(inside)
        for box in self._all():
            if box not in inside:
                for lane in list(box.lanes):
                    box.abandon(lane, lane.disown(), TimeoutError("the bus was closed before the handler ended"))
        self._crew.dismiss()
        self._timers.dismiss()
        self._homes.dismiss(busy=True)

    def _move(self, home: Any) -> None:
        """Find another home for the mailboxes of a loop that has ended: the bus's own."""
        heir = self._homes.heir(home)
        for box in self._all():
            if box.home is home:
                for lane in list(box.lanes):
                    box.abandon(lane, lane.disown(), RuntimeError("the handler's event loop has ended"))
                box.home = heir
                box.hung.clear()
                box.look_again()
        home.ready.clear()

    # -- forks and the end of the process (called by lifecycle) ---------------------------------

    def _before_fork(self) -> None:
        threads = [*self._crew.dismiss(), self._timers.dismiss(), *self._homes.dismiss()]
        end = time.monotonic() + FORK_WAIT
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _after_fork_in_parent(self) -> None:
        self._timers.resume()

    def _after_fork_in_child(self) -> None:
        """Begin anew: the parent delivers what was waiting; none of its threads and loops is here."""
        self._lock = threading.RLock()
        self._books.reset()
        self._timers = Timers()
        self._crew = Crew(self._timers)
        self._homes = Homes(self._timers.after, self._move)
        self._prefix = os.urandom(8).hex()
        for box in self._all():
            box.reset()
            box.after = self._timers.after
            if is_async(box.terms.handler):
                box.home = self._homes.heir(box.home)
            else:
                box.home = self._crew
                box.awaits = self._homes.borrow(own=True)

    def _at_exit(self) -> None:
        """Give the handlers a moment, as long as they get on; then stop."""
        start = progress = time.monotonic()
        before = -1
        while (
            (queued := self._queued(()))
            and time.monotonic() - progress < EXIT_STALL
            and time.monotonic() - start < EXIT_LIMIT
        ):
            if queued != before:
                before, progress = queued, time.monotonic()
            self._nudge()
            time.sleep(0.002)
        threads = self._crew.dismiss()
        self._stop()
        for thread in threads:
            thread.join(0.05)


async def _room(box: Mailbox, size: int, deadline: float | None) -> None:
    """Wait until a mailbox has room for an event, or until the deadline."""
    wait = 0.0
    while box.bytes + size > box.max_bytes or len(box.queue) >= box.room:
        if box.gone or (deadline is not None and time.monotonic() >= deadline):
            return
        await pause(wait)
        wait = min(0.02, wait + 0.001)


def _result(box: Mailbox, collector: Collector, inside: tuple[Box, ...], timeout: float | None) -> EventHandlerResult:
    if (result := collector.results.get(box.id)) is not None:
        return result
    if box in inside:
        return complete(None, subscription_id=box.id, attempts=0, extra={"pending": True})
    return complete(None, subscription_id=box.id, error=TimeoutError(f"no result within {timeout:g} s"), attempts=0)
