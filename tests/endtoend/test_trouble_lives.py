"""Forks, second configurations, foreign providers, spans made by others: each span exactly once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.endtoend.spans import ends, in_two_versions, named, parents
from tests.servers.jaeger import Jaeger

RUN = "RUN lives"
SUCCESS = "success unset"
KILLED = "error killed ERROR"
NOWHERE = "/dev/null/journal"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


def live(how: str, receiver: OtlpReceiver, journal: str, kill: signal.Signals | None = None) -> list[dict[str, Any]]:
    """Let the program live to its end, or to its killing, and deliver the rest; return what it said."""
    with Program("lives", how, OW_JOURNAL=journal, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as program:
        said = []
        if kill is not None:
            said.append(program.hear())
            ended = program.finish(kill=kill)
        else:
            program.tell()
            said += program.hear_all()
            ended = program.finish()
    assert (-kill if kill else 0) == ended.code, ended.stderr
    assert "Traceback" not in ended.stderr
    if journal != NOWHERE:
        ship(Path(journal), receiver.endpoint)
    assert [] == in_two_versions(receiver)
    return said


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_child_that_walks_out_of_a_block_does_not_end_its_parents_phase(
    where: str, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    began = time.monotonic()
    [said] = live("fork out of a block", receiver, str(tmp_path) if where == "disk" else NOWHERE)
    assert {RUN: SUCCESS, "open": SUCCESS} == ends(receiver.spans)
    assert said["child_left"] <= named(receiver.spans, "open")["end_ns"]
    assert time.monotonic() - began < 5


def test_a_forked_childs_own_phases_arrive_after_it_left_its_parents_block(
    receiver: OtlpReceiver, tmp_path: Path
) -> None:
    live("fork and go on", receiver, str(tmp_path))
    assert {RUN: "-", "open": RUN, "after the block": RUN} == parents(receiver.spans)
    assert {RUN: SUCCESS, "open": SUCCESS, "after the block": SUCCESS} == ends(receiver.spans)


def test_configuring_again_loses_nothing_not_even_what_is_open(receiver: OtlpReceiver, tmp_path: Path) -> None:
    live("configure twice", receiver, str(tmp_path))
    assert {"RUN first": "-", "in first": "RUN first", "after configure": "in first", "RUN second": "-"} == parents(
        receiver.spans
    )
    assert {SUCCESS} == set(ends(receiver.spans).values())


def test_recording_can_be_shut_down_and_begun_again(receiver: OtlpReceiver, tmp_path: Path) -> None:
    assert [{"done": True}] == live("shutdown and again", receiver, str(tmp_path))
    assert {"RUN first": "-", "RUN second": "-", "library": "RUN second"} == parents(receiver.spans)


def test_with_a_foreign_provider_the_sdk_sends_its_spans_and_the_bridge_none(
    receiver: OtlpReceiver, tmp_path: Path
) -> None:
    [said] = live("foreign provider", receiver, str(tmp_path))
    assert "sdk" == said["lane"]
    assert {RUN: "-", "finished": RUN, "open": RUN, "library": "open"} == parents(receiver.spans)
    finished = named(receiver.spans, "finished")
    assert said["ids"][0] == finished["span_id"]
    assert (12, "success") == (
        finished["attributes"]["files"],
        finished["attributes"]["cicd.pipeline.task.run.result"],
    )
    assert ["phase.started", "phase.completed"] == [event["name"] for event in finished["events"]]


def test_with_a_foreign_provider_the_bridge_sends_what_a_kill_left_open(receiver: OtlpReceiver, tmp_path: Path) -> None:
    [said] = live("foreign provider", receiver, str(tmp_path), kill=signal.SIGKILL)
    assert {RUN: KILLED, "finished": SUCCESS, "open": KILLED} == ends(receiver.spans)
    assert said["ids"] == [named(receiver.spans, name)["span_id"] for name in ("finished", "open")]
    assert {RUN: "-", "finished": RUN, "open": RUN} == parents(receiver.spans)


def test_a_librarys_finished_span_is_a_child_and_survives_the_kill(receiver: OtlpReceiver, tmp_path: Path) -> None:
    live("library spans", receiver, str(tmp_path), kill=signal.SIGKILL)
    # The span that the library had open is lost, as any SDK's would be; no phase is, nor hangs on it.
    assert {
        RUN: "-",
        "open": RUN,
        "open in it": "open",
        "finished by a library": "open",
        "phase in it": "finished by a library",
    } == parents(receiver.spans)
    library = named(receiver.spans, "finished by a library")
    assert ("library", 3) == (library["scope"], library["attributes"]["rows"])
    assert library["end_ns"] <= named(receiver.spans, "open")["end_ns"]


def test_jaeger_finds_nothing_odd_in_a_trace_whose_library_spans_were_cut_off(jaeger: Jaeger, tmp_path: Path) -> None:
    with Program("lives", "library spans", OW_JOURNAL=str(tmp_path)) as program:
        trace_id = program.hear()["trace"]
        program.finish(kill=signal.SIGKILL)
    ship(tmp_path, jaeger.endpoint)
    spans = jaeger.wait_for_trace(trace_id, spans=5)["spans"]
    assert [] == [span["warnings"] for span in spans if span.get("warnings")]


def test_a_span_that_names_a_task_is_a_phase(receiver: OtlpReceiver, tmp_path: Path) -> None:
    live("api only", receiver, str(tmp_path))
    assert {
        RUN: "-",
        "outer": RUN,
        "api task": "outer",
        "inner": "api task",
        "api failure": "outer",
        "api open": "outer",
    } == parents(receiver.spans)
    # The exception was caught outside of the phase it left: handled, so the phases around it are well.
    assert dict.fromkeys((RUN, "outer", "api task", "inner", "api open"), SUCCESS) | {
        "api failure": "failure ValueError ERROR"
    } == ends(receiver.spans)
    task = named(receiver.spans, "api task")
    assert 1 == task["attributes"]["own"]
    assert ["phase.started", "seen", "phase.completed"] == [event["name"] for event in task["events"]]


def test_an_open_span_that_names_a_task_survives_the_kill(receiver: OtlpReceiver, tmp_path: Path) -> None:
    live("api only", receiver, str(tmp_path), kill=signal.SIGKILL)
    assert {RUN: KILLED, "outer": KILLED, "api open": KILLED, "api task": SUCCESS, "inner": SUCCESS} == {
        name: end for name, end in ends(receiver.spans).items() if name != "api failure"
    }


def test_a_process_that_fills_several_segments_is_read_as_one(receiver: OtlpReceiver, tmp_path: Path) -> None:
    with Program("large", OW_JOURNAL=str(tmp_path)) as program:
        program.hear()
        assert 3 == len(list(tmp_path.glob("*.owj")))
        ship(tmp_path, receiver.endpoint)
        assert {"full"} == {span["name"] for span in receiver.spans}
        program.finish(kill=signal.SIGKILL)
    ship(tmp_path, receiver.endpoint)
    assert [] == in_two_versions(receiver)
    assert 1503 == len(receiver.span_ids)
    tops = [span for span in receiver.spans if span["name"] != "full"]
    assert {"RUN large": KILLED, "open": KILLED, "open late": KILLED} == ends(tops)
    assert {"RUN large": "-", "open": "RUN large", "open late": "open"} == parents(tops)


@pytest.mark.parametrize("spans", [1, 40, 900])
def test_whatever_was_told_as_ended_before_a_kill_arrives(spans: int, receiver: OtlpReceiver, tmp_path: Path) -> None:
    with Program("busy", OW_JOURNAL=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as program:
        told = [program.hear()["span"] for _ in range(spans)]
        os.killpg(program.process.pid, signal.SIGKILL)
        told += [said["span"] for said in program.hear_all()]
    ship(tmp_path, receiver.endpoint)

    assert set(told) <= receiver.span_ids
    assert [] == in_two_versions(receiver)
    names = {span["span_id"]: span["name"] for span in receiver.spans}
    assert {("RUN busy", "-"), ("busy", "RUN busy"), ("library", "busy")} == {
        (span["name"], names[span["parent_span_id"]] if span["parent_span_id"] else "-") for span in receiver.spans
    }
