"""Final before sent: whatever the order, the split, the repetition and the lateness, an id has one version."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.bridge.checkpoint import Checkpoint, _decoded, _encoded
from otel_workflow.bridge.open_phases import key_of
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.waiting import Remembered
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, Record
from otel_workflow.journal.record import IS_RUN, MAKER_SDK, SAMPLED, encode_event

EXAMPLES = int(os.environ.get("OW_TEST_EXAMPLES", "200"))
"""How many histories are tried; 10,000 once before a release: ``OW_TEST_EXAMPLES=10000``."""
SECOND = 1_000_000_000
NOON = 1_700_000_000 * SECOND
NOW = NOON + 100 * SECOND
TRACES = (b"\1" * 16, b"\2" * 16)
SPANS = tuple(bytes((0, 0, 0, 0, 0, 0, 0, number)) for number in range(1, 5))
OWNERS = ("first", "second")
ENDS = {"completed": "success", "failed": "failure", "skipped": "skip", "cancelled": "cancellation"}

Said = tuple[str, bytes]  # the process that says it, and the payload


@dataclass
class Lines:
    """A source whose records are given; ``alive`` and ``evidence`` as its process."""

    name: str
    owner: str
    payloads: list[bytes]
    alive: bool = False
    position: int = 0
    header: dict[str, Any] = field(default_factory=lambda: {"resource": {"service.name": "s"}})
    death: str = "killed"

    def read(self) -> list[Record]:
        first, self.position = self.position, len(self.payloads)
        return [Record(EVENT, n, self.payloads[n], n + 1) for n in range(first, self.position)]

    def is_alive(self) -> bool:
        return self.alive

    def evidence_ns(self) -> int:
        return NOON + 50 * SECOND

    def note(self, time_ns: int) -> None:
        """Evidence is fixed here."""


@st.composite
def events(draw: st.DrawFn) -> Said:
    """Anything a process may say of one of four phases, sane or not."""
    kind = draw(st.sampled_from(["started", "started", "progress", "heartbeat", "interrupted", *ENDS, *ENDS]))
    at = NOON + draw(st.integers(0, 30)) * SECOND
    body: dict[str, Any] = {"name": draw(st.sampled_from("ab")), "seq": draw(st.integers(1, 3)), "run": "r"}
    if kind != "started":
        body["start"] = NOON + draw(st.integers(0, 5)) * SECOND
    if kind in ENDS:
        body |= {"outcome": ENDS[kind], "reason": draw(st.sampled_from(["", "why"]))}
    if draw(st.booleans()):
        body["attributes"] = {draw(st.sampled_from("xy")): draw(st.integers(0, 2))}
    flags = SAMPLED | draw(st.sampled_from([0, 0, 0, IS_RUN]))
    ids = draw(st.sampled_from(TRACES)), draw(st.sampled_from(SPANS)), draw(st.sampled_from([bytes(8), *SPANS]))
    payload = encode_event(TRANSITIONS.index(kind), flags, *ids, at, 1, body)
    return draw(st.sampled_from(OWNERS)), payload


def spans(pump: Pump) -> dict[bytes, list[bytes]]:
    """The spans that wait, by trace and span id."""
    found: dict[bytes, list[bytes]] = {}
    for waiting in pump.waiting:
        found.setdefault(ids_of(waiting.span), []).append(waiting.span)
    return found


def ids_of(span: bytes) -> bytes:
    """The trace and span id in a span's bytes."""
    return b"".join(value for number, value in wire_fields(span) if number in (1, 2) and isinstance(value, bytes))


def sources(said: list[Said], rolled: random.Random | None = None) -> list[Lines]:
    """Every process's words in one segment, or, with a random, in some of them."""
    made = {}
    for owner, payload in said:
        number = rolled.randrange(3) if rolled else 0
        name = f"{owner}-{number}"
        made.setdefault(name, Lines(name, owner, [])).payloads.append(payload)
    return [made[name] for name in sorted(made)]


def final(said: list[Said], rolled: random.Random | None = None) -> dict[bytes, list[bytes]]:
    """All spans when everybody is dead."""
    pump = Pump(now=lambda: NOW)
    pump.read(sources(said, rolled), force=True)
    return spans(pump)


CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CALM)
@given(st.lists(events(), min_size=1, max_size=14), st.integers(0, 1 << 32).map(random.Random))
def test_permuted_repeated_and_split_over_segments_gives_the_same_bytes_and_every_id_once(
    said: list[Said], rolled: random.Random
) -> None:
    wanted = final(said)
    assert all(len(versions) == 1 for versions in wanted.values())
    again = [*said, *rolled.choices(said, k=rolled.randrange(len(said) + 1))]
    rolled.shuffle(again)
    assert wanted == final(again, rolled)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CALM)
@given(st.lists(events(), min_size=1, max_size=14), st.integers(0, 14))
def test_truncated_gives_the_same_bytes_for_each_phase_of_which_nothing_is_cut(said: list[Said], cut: int) -> None:
    whole, part = final(said), final(said[:cut])
    untouched = {payload[4:28] for _, payload in said[:cut]} - {payload[4:28] for _, payload in said[cut:]}
    assert {ids: whole[ids] for ids in untouched} == {ids: part[ids] for ids in untouched}


class Shipping:
    """A shipper that lives, sends, and is restarted from its cursor; every id may have one version."""

    def __init__(self) -> None:
        self.lines = {owner: Lines(f"{owner}-1", owner, [], alive=True) for owner in OWNERS}
        self.pump = Pump(now=lambda: NOW)
        self.sent: dict[bytes, bytes] = {}
        self.kept = Remembered()

    def read(self) -> None:
        self.pump.read(self.lines.values(), force=True)

    def send(self, count: int) -> None:
        for waiting in (batch := self.pump.batch(1 << 20, count)):
            assert waiting.span == self.sent.setdefault(ids_of(waiting.span), waiting.span)
        self.pump.settled(batch)

    def restart(self) -> None:
        keys = self.pump.sent_keys
        self.pump = Pump(now=lambda: NOW, acknowledged=dict(self.pump.acknowledged))
        self.pump.sent_keys.update(keys)
        for lines in self.lines.values():
            lines.position = self.kept.read.get(lines.name, 0)
        self.pump.recall(self.lines.values(), self.kept)

    def keep(self) -> bool:
        """Keep a checkpoint, through its file's form; False while spans wait."""
        self.pump.settled([])
        known = self.pump.remembered()
        if known is not None:
            self.kept = _decoded(json.loads(json.dumps(_encoded(Checkpoint(known))))).known
        return known is not None

    def step(self, step: str, lines: Lines) -> None:
        """Do one of the steps."""
        lines.alive = {"die": False, "live": True}.get(step, lines.alive)
        if step.startswith("send"):
            self.send(int(step[-1]))
        elif step in ("read", "restart", "keep"):
            getattr(self, step)()

    def end(self) -> None:
        """All processes die, and everything is sent."""
        for lines in self.lines.values():
            lines.alive = False
        self.read()
        while self.pump.waiting:
            self.send(100)


STEPS = st.lists(st.sampled_from(["read", "send 1", "send 2", "die", "live", "restart", "keep"]), max_size=3)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CALM)
@given(st.lists(st.tuples(events(), STEPS), min_size=1, max_size=14))
def test_late_in_any_steps_with_restarts_between_no_id_is_sent_in_two_versions(
    history: list[tuple[Said, list[str]]],
) -> None:
    shipping = Shipping()
    for (_, payload), steps in history:
        lines = shipping.lines[OWNERS[payload[27] % 2]]  # a phase's words are one process's
        lines.payloads.append(payload)
        for step in steps:
            shipping.step(step, lines)
    shipping.end()
    told = {payload[4:28] for (_, payload), _ in history}
    assert told <= shipping.sent.keys()
    keys = {key_of(ids) + suffix for ids in told for suffix in ("", ":correction")}
    assert shipping.pump.sent_keys.keys() <= keys | {f"{trace.hex()}:marker" for trace in TRACES}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CALM)
@given(st.lists(st.tuples(events(), STEPS), min_size=1, max_size=14))
def test_with_a_restart_from_a_checkpoint_after_every_step_the_same_spans_are_sent_as_with_none(
    history: list[tuple[Said, list[str]]],
) -> None:
    steady, restarted = Shipping(), Shipping()
    for (_, payload), steps in history:
        owner = OWNERS[payload[27] % 2]
        for shipping in (steady, restarted):
            shipping.lines[owner].payloads.append(payload)
            for step in steps:
                if step != "restart":
                    shipping.step(step, shipping.lines[owner])
                if shipping is restarted and shipping.keep():
                    shipping.restart()
    steady.end()
    restarted.end()
    assert steady.sent == restarted.sent
    assert steady.pump.sent_keys.keys() == restarted.pump.sent_keys.keys()


def test_the_sdks_spans_stay_the_sdks_in_any_order() -> None:
    ids = TRACES[0], SPANS[0], bytes(8)
    body = {"name": "a", "start": NOON, "outcome": "success"}
    start = encode_event(1, SAMPLED | MAKER_SDK, *ids, NOON, 1, {"name": "a"})
    end = encode_event(5, SAMPLED | MAKER_SDK, *ids, NOON + 1, 1, body)
    for order in ([start, end], [end, start], [start, end, end]):
        assert {} == final([("first", payload) for payload in order])
