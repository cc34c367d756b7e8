"""Ten ways for a process to die: what it had finished and what it had open all arrive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Ended, Program
from tests.endtoend.shipping import copied, ship
from tests.endtoend.spans import MARKER, ends, named, parents, sent_more_than_once
from tests.servers.jaeger import Jaeger, Trace

SUCCESS = "success unset"
KILLED = "error killed ERROR"
RUN = "RUN deaths"


def _here(end: str) -> dict[str, str]:
    return {RUN: end, "here finished": SUCCESS, "here open": end, "here nested": end}


def _child(parent: str, child: str) -> dict[str, str]:
    return {RUN: parent, "parent open": parent} | {
        "child finished": SUCCESS,
        "child open": child,
        "child nested": child,
    }


@dataclass(frozen=True)
class Death:
    """One way to die: where the work is done, what kills it, and what must be seen afterwards."""

    where: str
    by: str | signal.Signals
    code: int
    ends: dict[str, str]
    victim: str = ""


DEATHS = {
    "return": Death("here", "return", 0, _here(SUCCESS)),
    "unhandled exception": Death("here", "exception", 1, _here("failure ValueError ERROR")),
    "sys.exit(3)": Death("here", "sys.exit(3)", 3, _here("failure _OTHER ERROR")),
    "os._exit": Death("here", "os._exit", 4, _here(KILLED)),
    "SIGTERM": Death("here", signal.SIGTERM, -15, _here(KILLED)),
    "SIGKILL": Death("here", signal.SIGKILL, -9, _here(KILLED)),
    "SIGINT": Death("here", signal.SIGINT, -2, _here("cancellation unset")),
    "forked child killed": Death("forked", signal.SIGKILL, 0, _child(SUCCESS, KILLED), "child"),
    "spawned child killed": Death("spawned", signal.SIGKILL, 0, _child(SUCCESS, KILLED), "child"),
    "parent killed, child lives": Death("forked", signal.SIGKILL, -9, _child(KILLED, SUCCESS), "parent"),
}


@dataclass(frozen=True)
class Dead:
    """A journal that a dead program has left, and its trace id."""

    journal: Path
    trace_id: str
    ended: Ended


Dying = Callable[[str], Dead]


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Dying:
    """Let a program die in one of the ways, once for all tests."""
    known: dict[str, Dead] = {}

    def die(how: str) -> Dead:
        if how not in known:
            known[how] = _die(DEATHS[how], tmp_path_factory.mktemp("dead") / "journal")
        return known[how]

    return die


def _die(death: Death, journal: Path) -> Dead:
    with Program("deaths", death.where, OW_JOURNAL=str(journal)) as program:
        trace_id = program.hear()["trace"]
        ready = program.hear()
        if isinstance(death.by, str):
            program.tell(death.by)
            return Dead(journal, trace_id, program.finish())
        if death.victim == "child":
            os.kill(ready["pid"], death.by)
            return Dead(journal, trace_id, program.finish())
        if death.victim == "parent":
            program.process.send_signal(death.by)
            program.process.wait()
            program.tell("return")
            program.hear_all()
            return Dead(journal, trace_id, program.finish())
        return Dead(journal, trace_id, program.finish(kill=death.by))


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.mark.parametrize("how", DEATHS)
def test_all_that_was_finished_and_open_arrives_after_a_death(
    how: str, dying: Dying, receiver: OtlpReceiver, tmp_path: Path, table: list[str]
) -> None:
    death, dead = DEATHS[how], dying(how)
    assert death.code == dead.ended.code

    ship(copied(dead.journal, tmp_path / "copy"), receiver.endpoint)

    table.append(_row(how, death, ends(receiver.spans)))
    assert death.ends == ends(receiver.spans)
    assert _parents(death, how) == parents(receiver.spans)
    assert [] == sent_more_than_once(receiver)
    assert {dead.trace_id} == {span["trace_id"] for span in receiver.spans}
    assert _who_was_interrupted(death) == {
        span["name"] for span in receiver.spans if span["attributes"].get("otel_workflow.interrupted")
    }


def _parents(death: Death, how: str) -> dict[str, str]:
    if death.where == "here":
        return {RUN: "-", "here finished": RUN, "here open": RUN, "here nested": "here open"}
    # A forked child knows the phase it was forked in; a spawned one knows the run, from its environment.
    above = RUN if "spawned" in how else "parent open"
    return {
        RUN: "-",
        "parent open": RUN,
        "child finished": above,
        "child open": above,
        "child nested": "child open",
    }


def _who_was_interrupted(death: Death) -> set[str]:
    return {name for name, end in death.ends.items() if end == KILLED}


def _row(how: str, death: Death, seen: dict[str, str]) -> str:
    who = "here" if death.where == "here" else "child"
    cells = [how, *(seen.get(name, "MISSING") for name in (f"{who} finished", f"{who} open", f"{who} nested", RUN))]
    if not death.victim and how == "return":
        return _line("death", "finished", "open", "nested in it", "run") + "\n" + _line(*cells)
    return _line(*cells)


def _line(*cells: str) -> str:
    return "".join(cell.ljust(28) for cell in cells).rstrip()


def test_all_ten_deaths_reach_jaeger_with_one_span_per_phase_and_no_warning(
    dying: Dying, jaeger: Jaeger, tmp_path: Path
) -> None:
    warnings: dict[str, list[str]] = {}
    for number, how in enumerate(DEATHS):
        death, dead = DEATHS[how], dying(how)
        ship(copied(dead.journal, tmp_path / str(number)), jaeger.endpoint)
        trace = jaeger.wait_for_trace(dead.trace_id, spans=len(death.ends))
        if MARKER in _names(trace):
            trace = jaeger.wait_for_trace(dead.trace_id, spans=len(death.ends) + 1)
        assert sorted(death.ends) == [name for name in _names(trace) if name != MARKER], how
        warnings[how] = [warning for span in trace["spans"] for warning in span.get("warnings") or []]
    assert {how: [] for how in DEATHS} == warnings


def _names(trace: Trace) -> list[str]:
    return sorted(span["operationName"] for span in trace["spans"])


def test_a_living_childs_phases_stay_open_when_its_parent_is_killed(receiver: OtlpReceiver, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Program("deaths", "forked", OW_JOURNAL=str(journal)) as program:
        program.hear(), program.hear()
        program.process.kill()
        program.process.wait()

        ship(journal, receiver.endpoint)
        assert {RUN: KILLED, "parent open": KILLED, "child finished": SUCCESS} == ends(receiver.spans)

        time.sleep(0.02)
        let_go = time.time_ns()
        program.tell("return")
        program.hear_all()
        ship(journal, receiver.endpoint)
    assert _child(KILLED, SUCCESS) == ends(receiver.spans)
    assert [] == sent_more_than_once(receiver)
    assert named(receiver.spans, "child open")["end_ns"] >= let_go
    assert not named(receiver.spans, "child open")["attributes"].get("otel_workflow.end.estimated")


@pytest.mark.slow
def test_the_duration_of_a_phase_that_was_killed_in_silence_is_right(
    receiver: OtlpReceiver, tmp_path: Path, table: list[str]
) -> None:
    with Program("deaths", "here", OW_JOURNAL=str(tmp_path / "journal")) as program:
        program.hear(), program.hear()
        ready = time.time_ns()
        time.sleep(3.3)
        killed = time.time_ns()
        program.finish(kill=signal.SIGKILL)
    ship(tmp_path / "journal", receiver.endpoint)

    nested = named(receiver.spans, "here nested")
    error = (killed - ready - (nested["end_ns"] - nested["start_ns"])) / 1e9
    table.append(f"killed after {(killed - ready) / 1e9:.1f} s of silence: its duration is wrong by {error:.2f} s")
    assert abs(error) < 1.5
    assert nested["attributes"]["otel_workflow.end.estimated"] is True
