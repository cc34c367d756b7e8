"""Subscribe, publish, fail, unsubscribe, close in any order: nothing is lost, doubled or out of order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otel_workflow.bus import EventHandlerResult, WorkflowEventBus
from otel_workflow.events import Event
from tests.bus.conftest import balanced, until

TYPES = ("hooks.strategy.started", "hooks.strategy.failed", "phase.started")
PATTERNS = {None: TYPES, "hooks.*": TYPES[:2], "*.failed": TYPES[1:2], "phase.started": TYPES[2:]}
ERRORS = (ValueError, KeyboardInterrupt, GeneratorExit, SystemExit)


@dataclass
class Subscriber:
    """What one subscription ought to see, and what it saw."""

    pattern: str | None
    failures: int
    retries: int
    wanted: list[tuple[str, str]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    name: str = ""

    def one(self, event: Event) -> None:
        tried = self.tries[event.id] = self.tries.get(event.id, 0) + 1
        if event.payload["bad"] and tried <= self.failures:
            if tried > self.retries:
                self.ended.append((str(event.correlation_id), event.id))
            raise ERRORS[tried % len(ERRORS)]
        self.ended.append((str(event.correlation_id), event.id))


class BusMachine(RuleBasedStateMachine):
    backend = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal(self.backend))
        self.bus = WorkflowEventBus()
        self.live: list[Subscriber] = []
        self.closed = False

    @initialize()
    def begin(self) -> None:
        self.subscribe(None, "async", 0, 0, 1)

    @rule(
        pattern=st.sampled_from(list(PATTERNS)),
        kind=st.sampled_from(["async", "waiting", "sync", "own", "coroutine"]),
        failures=st.integers(0, 2),
        retries=st.integers(0, 2),
        limit=st.integers(1, 3),
    )
    def subscribe(self, pattern: str | None, kind: str, failures: int, retries: int, limit: int) -> None:
        subscriber = Subscriber(pattern, failures, retries)

        def sync(event: Event) -> None:
            subscriber.one(event)

        async def handler(event: Event) -> EventHandlerResult | None:
            if kind == "waiting":
                await anyio.sleep(0.0005)
            subscriber.one(event)
            return None if kind == "own" else EventHandlerResult(success=True)

        chosen = {"sync": sync, "coroutine": lambda event: handler(event)}.get(kind, handler)  # noqa: PLW0108 - not seen to be async

        def subscribe() -> None:
            subscriber.name = self.bus.subscribe(
                pattern, chosen, max_retries=retries, retry_backoff=0.001, max_concurrent=limit
            )

        if kind == "own":
            subscribe()
        else:
            self.portal.call(subscribe)
        if not self.closed:
            self.live.append(subscriber)

    @rule(
        event_type=st.sampled_from(TYPES),
        run=st.sampled_from("ab"),
        bad=st.booleans(),
        way=st.sampled_from(["here", "loop", "awaited"]),
        times=st.integers(1, 5),
    )
    def publish(self, event_type: str, run: str, bad: bool, way: str, times: int) -> None:
        async def in_loop() -> Event:
            return self.bus.publish_nowait(event_type, {"bad": bad}, correlation_id=run)

        async def awaited() -> Event:
            result = await self.bus.publish(event_type, {"bad": bad}, correlation_id=run, timeout=10)
            wanting = [s for s in self.live if event_type in PATTERNS[s.pattern]]
            assert [r.subscription_id for r in result.results] == [s.name for s in wanting]
            for subscriber, answer in zip(wanting, result.results, strict=True):
                assert answer.success == (not bad or subscriber.failures <= subscriber.retries), answer
            return result.event

        for _ in range(times):
            if way == "here":
                event = self.bus.publish_nowait(event_type, {"bad": bad}, correlation_id=run)
            else:
                event = self.portal.call(in_loop if way == "loop" else awaited)
            for subscriber in self.live:
                if event_type in PATTERNS[subscriber.pattern]:
                    subscriber.wanted.append((run, event.id))

    @rule(data=st.data())
    @precondition(lambda self: self.live)
    def unsubscribe(self, data: st.DataObject) -> None:
        subscriber = data.draw(st.sampled_from(self.live))
        assert self.bus.unsubscribe(subscriber.name)
        assert not self.bus.unsubscribe(subscriber.name)
        self.live.remove(subscriber)

    @rule()
    def wait(self) -> None:
        assert until(lambda: self.bus.statistics().queued == 0), self.bus.statistics()
        for subscriber in self.live:
            for run in "ab":
                assert [e for r, e in subscriber.ended if r == run] == [e for r, e in subscriber.wanted if r == run]

    @rule(drain=st.sampled_from([0.0, 5.0]))
    @precondition(lambda self: not self.closed)
    def close(self, drain: float) -> None:
        async def aclose() -> None:
            await self.bus.aclose(drain=drain)

        self.portal.call(aclose)
        if drain:
            self.closed = True
            self.wait()
        self.closed = True
        self.live.clear()
        assert self.bus.statistics().queued == 0

    @invariant()
    def the_books_balance(self) -> None:
        assert until(lambda: balanced(self.bus), 1), self.bus.statistics()

    def teardown(self) -> None:
        if not self.closed:
            self.wait()
        self.bus._stop()
        self.stack.close()
        assert until(lambda: balanced(self.bus), 1)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_any_order_of_operations_loses_nothing(backend: str) -> None:
    machine = type("Machine", (BusMachine,), {"backend": backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
