"""An interrupt at every line of ours: it reaches the program, the tree stays right, and what began has an end.

Row of the failure matrix: KeyboardInterrupt between any two bytecodes.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest
import trio
from opentelemetry.sdk.trace import TracerProvider

import otel_workflow as ow
from otel_workflow.bus import WorkflowEventBus
from otel_workflow.events import Event, Outcome
from otel_workflow.instrumentation.recorder import Recorder, replaced
from otel_workflow.journal import EVENT, JournalReader, JournalWriter, MemoryJournal
from otel_workflow.journal.record import decode_event
from otel_workflow.runs import PhaseRun, RunStore

OURS = str(ow.__file__).removesuffix("__init__.py")
EVERY_LINE = bool(os.environ.get("OW_TEST_EVERY_LINE"))
"""Every line each time it runs, instead of the last time."""


class Interrupting:
    """Raises at the n-th line of this package that is run inside its block; 0 only counts them."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self.at = at
        self.strike = strike
        self.lines: list[str] = []
        self.fired = ""

    def __enter__(self) -> Self:
        sys.settrace(self.call)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)

    def call(self, frame: FrameType, event: str, _: Any) -> Any:
        """Look into the frames of this package only."""
        return self.line if frame.f_code.co_filename.startswith(OURS) else None

    def line(self, frame: FrameType, event: str, _: Any) -> Any:
        """Count a line, and strike at the one that was asked for.

        Not at a ``with``: it is traced once more on the way out, where CPython looks for no signal.
        """
        name, number = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and not self.fired and not linecache.getline(name, number).strip().startswith("with"):
            self.lines.append(f"{name.removeprefix(OURS)}:{number}")
            if len(self.lines) == self.at:
                self.fired = self.lines[-1]
                self.strike()
        return self.line


class TimeLimitError(Exception):
    """What a program's own signal handler raises: an Exception, as many a time limit is."""


def _limit(number: int, frame: FrameType | None) -> None:
    raise TimeLimitError


def keyboard() -> None:
    raise KeyboardInterrupt


def exiting() -> None:
    raise SystemExit(3)


def time_limit() -> None:
    signal.raise_signal(signal.SIGUSR1)


QUIET = {Outcome.SUCCESS, Outcome.CANCELLATION}
STRIKES = (KeyboardInterrupt, SystemExit, TimeLimitError)


def plainly() -> None:
    with ow.workflow("run"), ow.phase("outer"):
        with ow.phase("inner") as inner:
            inner.set_attribute("weight", 7)
        with ow.phase("next"):
            pass


def on_asyncio() -> None:
    async def main() -> None:
        async with ow.workflow("run"), ow.phase("outer"):
            async with ow.phase("inner"):
                await asyncio.sleep(0)

    asyncio.run(main())


def on_trio() -> None:
    async def main() -> None:
        async with ow.workflow("run"), ow.phase("outer"):
            async with ow.phase("inner"):
                await trio.lowlevel.checkpoint()

    trio.run(main)


Phases = dict[str, PhaseRun]
Lane = Callable[[Path], AbstractContextManager[Callable[[], Phases]]]


def _header() -> dict[str, object]:
    return {"version": 1, "resource": {"service.name": "test"}, "scope": {}}


def _folded(events: Iterable[Event]) -> Phases:
    store = RunStore()
    for event in events:
        store.add(event, "test")
    return {phase.name: phase for run in store.runs() for _, phase in run.walk()}


@contextmanager
def in_memory(place: Path) -> Iterator[Callable[[], Phases]]:
    journal = MemoryJournal(_header)
    with replaced(Recorder("native", WorkflowEventBus(), journal)):
        yield lambda: _folded(decode_event(record.payload) for record in journal.read() if record.kind == EVENT)


@contextmanager
def on_disk(place: Path) -> Iterator[Callable[[], Phases]]:
    journal = JournalWriter(str(place), _header, sync="never")

    def read() -> Phases:
        journal.close()
        segments = JournalReader(place).segments()
        records = [record for segment in segments for record in segment.read()]
        return _folded(decode_event(record.payload) for record in records if record.kind == EVENT)

    try:
        with replaced(Recorder("native", WorkflowEventBus(), journal)):
            yield read
    finally:
        journal.close()
        _close_all_in(place)


def _close_all_in(place: Path) -> None:
    """Close what an interrupt between opening a file and keeping its number has left: it costs a descriptor."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(entry.readlink()).startswith(f"{place}/"):
                os.close(int(entry.name))


@contextmanager
def beside_an_sdk(place: Path) -> Iterator[Callable[[], Phases]]:
    journal = MemoryJournal(_header)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with replaced(Recorder("sdk", WorkflowEventBus(), journal, tracer=tracer)):
        yield lambda: _folded(decode_event(record.payload) for record in journal.read() if record.kind == EVENT)


def interrupted(
    work: Callable[[], None], lane: Lane, strike: Callable[[], None], at: int, place: Path
) -> tuple[Interrupting, Phases, bool]:
    """Do the work, interrupted at a line; then open one more phase, as a program does that goes on."""
    reached = False
    with lane(place) as phases:
        with Interrupting(at, strike) as tracer:
            try:
                work()
            except STRIKES:
                reached = True
        if tracer.fired.startswith(("instrumentation/scope.py", "guard.py")) and work is not plainly:
            gc.collect()  # an event loop keeps the traceback, and with it the scope, in a cycle
        with ow.phase("afterwards"):
            pass
        return tracer, phases(), reached


def chosen(lines: list[str]) -> list[int]:
    """Return when to strike: the last time that each line is run, or every time."""
    last = {line: number for number, line in enumerate(lines, 1)}
    return list(range(1, len(lines) + 1)) if EVERY_LINE else sorted(last.values())


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, _limit)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("work", "lane", "strike"),
    [
        (plainly, in_memory, keyboard),
        (plainly, in_memory, exiting),
        (plainly, in_memory, time_limit),
        (plainly, on_disk, keyboard),
        (plainly, beside_an_sdk, keyboard),
        (on_asyncio, in_memory, keyboard),
        (on_trio, in_memory, keyboard),
    ],
)
def test_an_interrupt_at_any_line_leaves_no_phase_without_an_end(
    work: Callable[[], None], lane: Lane, strike: Callable[[], None], tmp_path: Path
) -> None:
    interrupted(
        work, lane, strike, 0, tmp_path / "first"
    )  # what is looked at once only would shift all that comes later
    counted, _, _ = interrupted(work, lane, strike, 0, tmp_path / "0")
    odd: list[str] = []
    struck = 0
    places = chosen(counted.lines)
    for at in places:
        tracer, phases, reached = interrupted(work, lane, strike, at, tmp_path / str(at))
        struck += bool(tracer.fired)
        if tracer.fired and not reached:
            odd.append(f"{tracer.fired}: it did not reach the program")
        if phases["afterwards"].parent_id:
            odd.append(f"{tracer.fired}: a phase stayed current")
        odd += [f"{tracer.fired}: {name} has no end" for name, phase in phases.items() if phase.is_open]
        if strike is keyboard:
            odd += [f"{tracer.fired}: {name} is {p.outcome}" for name, p in phases.items() if p.outcome not in QUIET]
    assert len(places) > 100
    assert struck > len(places) * 0.95
    assert not odd, "\n".join([f"{len(odd)} of {len(places)}", *sorted(set(odd))])
