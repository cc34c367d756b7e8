"""A journal directory is counted once, through restarts, deaths and moves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.metrics import Began, Finished
from otel_workflow.bridge.metrics.journals import JournalSpring
from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import sources_of
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, HEADER, JournalReader
from otel_workflow.journal.compaction import FEW, compact
from otel_workflow.journal.pack import PACK
from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event
from otel_workflow.journal.writer import RETIRED, frame, process_identity, segment_name

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
NO_PARENT = bytes(8)
MANY = FEW + 10


class Heard:
    """Who is told."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.ends: list[tuple[str, str]] = []
        self.here: set[str] = set()

    def began(self, fact: Began) -> None:
        self.starts.append(bytes.fromhex(fact.span_id).decode()[:1])

    def finished(self, fact: Finished) -> None:
        self.ends.append((bytes.fromhex(fact.span_id).decode()[:1], fact.outcome))

    def is_here(self, trace_id: str) -> None:
        self.here.add(trace_id)


class Owner:
    """A process's segment, written by hand; a dead one names a pid that is gone."""

    def __init__(self, directory: Path, name: str, *, alive: bool) -> None:
        directory.mkdir(exist_ok=True)
        self.path = directory / segment_name(name, 1)
        self._identity = process_identity()
        self._pid = self._identity["pid"]
        header = {"version": 1, "resource": {}, "owner": name, "segment": 1, **self._identity}
        if not alive:
            with subprocess.Popen(["true"]) as child:
                child.wait()
            header["pid"] = child.pid
        self.path.write_bytes(frame(HEADER, 0, json.dumps(header).encode()))

    def say(self, transition: str, span: str, second: float, *, trace: bytes = b"t" * 16, **body: Any) -> None:
        time_ns = int(second * SECOND)
        flags = SAMPLED | (IS_RUN if span == "r" else 0)
        said = {"name": span, "workflow": "nightly", "start": time_ns, **body}
        number = TRANSITIONS.index(transition)
        payload = encode_event(number, flags, trace, (span * 8).encode(), NO_PARENT, time_ns, time_ns, said)
        with self.path.open("ab") as file:
            file.write(frame(EVENT, 1, payload))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def heard() -> Heard:
    return Heard()


def spring_of(place: Path, positions: dict[str, int] | None = None) -> JournalSpring:
    return JournalSpring(place, positions, now=lambda: NOW)


def test_starts_and_ends_are_told_once(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=True), spring_of(place)
    owner.say("started", "r", 1)
    spring.read(heard)
    owner.say("completed", "r", 2, start=SECOND, outcome="success")
    for _ in range(3):
        spring.read(heard)
    assert (["r"], [("r", "success")], {b"t".hex() * 16}) == (heard.starts, heard.ends, heard.here)


def test_a_directory_that_is_not_there_yet_is_waited_for(place: Path, heard: Heard) -> None:
    spring = spring_of(place)
    assert 0 == spring.read(heard)
    Owner(place, "one", alive=True).say("completed", "a", 2, outcome="success")
    spring.read(heard)
    assert [("a", "success")] == heard.ends


def test_after_a_restart_what_was_told_is_not_told_again_and_what_is_open_is_known(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=True), spring_of(place)
    owner.say("started", "r", 1)
    owner.say("completed", "a", 2, outcome="success")
    spring.read(heard)
    positions = spring.positions()
    again = Heard()
    second = spring_of(place, positions)
    second.read(again)
    assert ([], [], 1) == (again.starts, again.ends, len(again.here))
    owner.say("failed", "r", 3, outcome="failure")
    second.read(again)
    assert [("r", "failure")] == again.ends


def test_what_was_read_and_not_committed_is_told_again(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=True), spring_of(place)
    owner.say("completed", "a", 1, outcome="success")
    spring.read(heard)
    positions = spring.positions()
    owner.say("completed", "b", 2, outcome="success")
    spring.read(heard)
    again = Heard()
    spring_of(place, positions).read(again)
    assert [("b", "success")] == again.ends


def test_the_phases_of_a_killed_process_end_in_an_error(place: Path, heard: Heard) -> None:
    owner = Owner(place, "one", alive=False)
    owner.say("started", "r", 1)
    owner.say("started", "a", 2)
    spring_of(place).read(heard)
    assert [("a", "error"), ("r", "error")] == sorted(heard.ends)


def test_an_interrupted_phase_waits_for_its_runs_verdict(place: Path, heard: Heard) -> None:
    root, worker, spring = Owner(place, "root", alive=True), Owner(place, "worker", alive=False), spring_of(place)
    root.say("started", "r", 990)
    worker.say("started", "a", 995)
    _age(worker.path, 996)
    spring.read(heard)
    assert [] == heard.ends
    root.say("completed", "r", 999, outcome="success")
    spring.read(heard)
    assert [("a", "error"), ("r", "success")] == sorted(heard.ends)


def test_a_late_end_of_a_phase_that_was_counted_is_told_to_whoever_knows(place: Path, heard: Heard) -> None:
    worker, spring = Owner(place, "worker", alive=False), spring_of(place)
    worker.say("started", "a", 1)
    spring.read(heard)
    Owner(place, "other", alive=True).say("completed", "a", 2, outcome="success")
    spring.read(heard)
    assert [("a", "error"), ("a", "success")] == heard.ends


def test_a_segment_that_is_retired_meanwhile_is_read_on(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=True), spring_of(place)
    owner.say("completed", "a", 1, outcome="success")
    spring.read(heard)
    owner.say("completed", "b", 2, outcome="success")
    (place / RETIRED).mkdir()
    owner.path.rename(place / RETIRED / owner.path.name)
    spring.read(heard)
    assert [("a", "success"), ("b", "success")] == heard.ends


def test_what_was_retired_before_the_first_look_is_counted_too(place: Path, heard: Heard) -> None:
    owner = Owner(place, "one", alive=False)
    owner.say("completed", "a", 1, outcome="success")
    (place / RETIRED).mkdir()
    owner.path.rename(place / RETIRED / owner.path.name)
    spring_of(place).read(heard)
    assert [("a", "success")] == heard.ends


def test_a_segment_that_is_done_is_not_read_again_unless_it_grows(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=False), spring_of(place)
    owner.say("completed", "a", 1, outcome="success")
    spring.read(heard)
    positions = spring.positions()
    assert {owner.path.name: -owner.path.stat().st_size} == positions
    again = Heard()
    assert 0 == spring_of(place, positions).read(again)
    owner.say("completed", "b", 2, outcome="success")
    spring_of(place, positions).read(again)
    assert ("b", "success") in again.ends


def test_a_segment_is_passed_when_all_of_it_was_told_and_nothing_in_it_is_open(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=False), spring_of(place)
    owner.say("started", "a", 990)
    root = Owner(place, "root", alive=True)
    root.say("started", "r", 980)
    _age(owner.path, 995)
    spring.read(heard)
    assert {} == spring.passed()  # the interrupted phase is not final, and the run is open
    root.say("completed", "r", 999, outcome="success")
    spring.read(heard)
    assert {owner.path.name: owner.path.stat().st_size} == spring.passed()


def test_a_segment_that_was_deleted_leaves_no_position(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=False), spring_of(place)
    owner.say("completed", "a", 1, outcome="success")
    spring.read(heard)
    owner.path.unlink()
    spring.read(heard)
    assert {} == spring.positions()


def test_a_long_journal_is_told_in_pieces(place: Path, heard: Heard) -> None:
    owner, spring = Owner(place, "one", alive=False), spring_of(place)
    owner.say("started", "r", 1)
    for number in range(30):
        owner.say("completed", "a", 2, trace=number.to_bytes(16, "big"), outcome="success")
    assert 10 == spring.read(heard, room=10)
    assert ("r", "error") not in heard.ends
    positions = spring.positions()
    again = Heard()
    second = spring_of(place, positions)
    while second.read(again, room=10):
        pass
    assert 30 + 1 == len(heard.ends) + len(again.ends)
    assert ("r", "error") in again.ends


def test_what_is_final_for_the_numbers_is_final_for_the_spans(place: Path, heard: Heard) -> None:
    """The pump and this spring fold by the same rules: as many ends as spans."""
    root, worker, dead = (Owner(place, n, alive=a) for n, a in (("root", True), ("worker", False), ("dead", False)))
    root.say("started", "r", 990)
    worker.say("started", "a", 995)
    worker.say("started", "b", 100)
    dead.say("started", "r", 1, trace=b"d" * 16)
    dead.say("started", "c", 2, trace=b"d" * 16)
    root.say("completed", "e", 996, outcome="skip")
    _age(worker.path, 996)
    _age(dead.path, 3)
    pump = Pump(now=lambda: NOW)
    for second in (0, 1):
        spring_of(place).read(heard := Heard())
        pump.read(sources_of(JournalReader(place), {}))
        spans = {waiting.key.partition(":")[2] for waiting in pump.waiting if not waiting.key.endswith("marker")}
        assert len(heard.ends) == sum(not w.key.endswith("marker") for w in pump.waiting), spans
        if not second:
            root.say("failed", "r", 999, start=990 * SECOND, outcome="failure")
            pump = Pump(now=lambda: NOW)


def _age(path: Path, second: float) -> None:
    """Give a segment the time of its last sign of life."""
    import os

    os.utime(path, (second, second))


@pytest.mark.parametrize("restarted", [False, True], ids=["goes on", "restarted"])
def test_segments_that_are_packed_and_retired_meanwhile_are_told_once(
    place: Path, heard: Heard, *, restarted: bool
) -> None:
    for number in range(MANY):
        owner = Owner(place, f"{number:04x}-1-{number:08x}", alive=False)
        owner.say("completed", chr(0x21 + number), 2, outcome="success")
    spring = spring_of(place)
    spring.read(heard, MANY // 2)
    if restarted:
        spring = spring_of(place, spring.positions())
    compact(place)
    [pack] = place.glob(f"*{PACK}")
    while spring.read(heard):
        pass
    assert MANY == len([size for size in spring.passed().values() if size > 0])
    (place / RETIRED).mkdir()
    pack.rename(place / RETIRED / pack.name)
    assert 0 == spring.read(heard)
    assert MANY == len(heard.ends)
