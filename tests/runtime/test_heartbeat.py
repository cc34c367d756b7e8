"""Real processes with an open run: they say that they live when asked to, and neither fork nor exit waits for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.servers.web import until

THREAD = "otel-workflow-heartbeat"


def environment(journal: Path, receiver: OtlpReceiver, **more: str) -> dict[str, str]:
    return {"OW_JOURNAL": str(journal), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OW_HEARTBEAT": "0.1", **more}


def beats(receiver: OtlpReceiver) -> int:
    return sum(record["event_name"] == "workflow.heartbeat" for record in receiver.logs)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_open_run_says_that_it_began_and_then_that_it_lives(
    protocol: Literal["http/protobuf", "grpc"], tmp_path: Path
) -> None:
    with OtlpReceiver(protocol=protocol) as receiver:
        env = environment(tmp_path, receiver, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        with Program("beating", "plain", **env) as program:
            assert THREAD in program.hear()["threads"]
            assert until(lambda: beats(receiver) >= 3, timeout=20)
            program.tell()
            assert (0, "") == program.finish()[:2]
        [run] = [span for span in receiver.spans if not span["parent_span_id"]]
        assert {(run["trace_id"], run["span_id"])} == {(each["trace_id"], each["span_id"]) for each in receiver.logs}
        [started] = [record for record in receiver.logs if record["event_name"] == "workflow.started"]
        assert run["start_ns"] == started["time_ns"]
        for name, value in started["attributes"].items():
            assert value == run["attributes"][name]
        assert run["resource"] == started["resource"]


@pytest.mark.parametrize(
    "setting",
    [{"OW_HEARTBEAT": ""}, {"OW_HEARTBEAT": "0"}, {"OTEL_LOGS_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}],
)
def test_who_does_not_ask_for_it_has_no_such_thread(setting: dict[str, str], tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        with Program("beating", "plain", **{**environment(tmp_path, receiver), **setting}) as program:
            assert THREAD not in program.hear()["threads"]


@pytest.mark.parametrize(
    ("how", "setting", "count"),
    [("plain", {}, 1), ("foreign", {}, 1), ("plain", {"OTEL_TRACES_SAMPLER": "always_off"}, 0)],
)
def test_only_a_run_that_a_span_will_tell_of_is_told(
    how: str, setting: dict[str, str], count: int, tmp_path: Path
) -> None:
    """One that is not sampled would be lost for ever to whoever heard it begin."""
    with OtlpReceiver() as receiver, Program("beating", how, **environment(tmp_path, receiver, **setting)) as program:
        assert count == program.hear()["open"]


def test_logs_that_hang_hold_up_neither_the_spans_nor_the_end(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        receiver.script(*["hang"] * 9, signal="logs")
        with Program("beating", "plain", **environment(tmp_path, receiver)) as program:
            program.hear()
            assert until(lambda: any(each.signal == "logs" for each in receiver.received), timeout=20)
            told = time.monotonic()
            program.tell()
            assert (0, "") == program.finish()[:2]
        assert time.monotonic() - told < 3.0  # a send may take 5 s; what an exit costs a benchmark measures
        assert {"RUN beating", "work"} == {span["name"] for span in receiver.spans}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_it_goes_on_after_a_fork_and_the_child_does_not_speak_for_its_parent(
    protocol: Literal["http/protobuf", "grpc"], tmp_path: Path
) -> None:
    with OtlpReceiver(protocol=protocol) as receiver:
        env = environment(tmp_path, receiver, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        with Program("beating", "plain", **env) as program:
            assert 1 == program.hear()["open"]
            for _ in range(3):
                before = beats(receiver)
                assert until(lambda before=before: beats(receiver) >= before + 2, timeout=20)  # type: ignore[misc]
                program.tell("fork")
                assert {"open": 0} == program.hear()
            before = beats(receiver)
            assert until(lambda: beats(receiver) >= before + 2, timeout=20)
            program.tell()
            assert (0, "") == program.finish()[:2]
