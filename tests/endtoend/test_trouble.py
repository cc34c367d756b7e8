"""Wrong settings, no place to write, hostile values: telemetry may suffer, the workflow never."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.endtoend.spans import ends, parents, sent_more_than_once

RUN = "RUN plain"
TREE = {RUN: "-"} | {f"phase {number}": RUN for number in range(4)}
NOWHERE = "/dev/null/journal"


def test_without_a_place_to_write_one_warning_is_given_and_spans_go_out_from_memory() -> None:
    with (
        OtlpReceiver() as receiver,
        Program("plain", "alone", OW_JOURNAL=NOWHERE, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as program,
    ):
        ended = program.finish()
        assert 0 == ended.code
        [line] = ended.stderr.splitlines()
        assert line.startswith(f"otel-workflow keeps its journal in memory, where a kill loses it: {NOWHERE}")
        assert TREE == parents(receiver.spans)
        assert [] == sent_more_than_once(receiver)


def test_without_a_place_to_write_and_an_endpoint_the_workflow_just_runs() -> None:
    with Program("plain", "alone", OW_JOURNAL=NOWHERE) as program:
        assert program.hear()["how"] == "alone"
        ended = program.finish()
    assert 0 == ended.code
    assert 1 == len(ended.stderr.splitlines())


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("OW_JOURNAL_SYNC", "sometimes", "OW-101"),
        ("OW_JOURNAL_MAX", "big", "OW-101"),
        ("OW_DEADLINE", "soon", "OW-101"),
        ("OW_JOB", "mine", "OW-101"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "OW-111"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "OW-113"),
    ],
)
def test_a_wrong_setting_is_named_to_whoever_configures(variable: str, value: str, code: str, tmp_path: Path) -> None:
    env = {"OW_JOURNAL": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", variable: value}
    with Program("settings", **env) as program:
        said = program.hear()
    assert code == said["code"]
    assert f"{variable}={value!r}" in said["text"]


def test_a_wrong_setting_only_warns_where_nobody_configured(tmp_path: Path) -> None:
    with Program("plain", "unconfigured", OW_JOURNAL=str(tmp_path), OW_JOURNAL_SYNC="sometimes") as program:
        assert program.hear()["how"] == "unconfigured"
        ended = program.finish()
    assert 0 == ended.code
    [line] = ended.stderr.splitlines()
    assert line.startswith("otel-workflow does not record: OW-101: OW_JOURNAL_SYNC='sometimes' is not")


def test_without_configure_a_set_journal_is_enough(tmp_path: Path) -> None:
    with Program("plain", "unconfigured", OW_JOURNAL=str(tmp_path)) as program:
        assert (0, "") == program.finish()[:2]
    with OtlpReceiver() as receiver:
        ship(tmp_path, receiver.endpoint)
        assert TREE == parents(receiver.spans)


def test_hostile_values_never_raise_and_cost_no_other_phase(tmp_path: Path) -> None:
    with Program("hostile", OW_JOURNAL=str(tmp_path)) as program:
        assert program.hear() == {"survived": True}
        assert 0 == program.finish().code
    with OtlpReceiver() as receiver:
        ship(tmp_path, receiver.endpoint)
        spans = receiver.spans

    counts = Counter(span["name"] for span in spans)
    said = sum(name.startswith("witness before ") for name in counts)
    assert dict.fromkeys(("attributes", "reason", "payload", "mapping", "links", "exception"), said) == {
        name: counts[name] for name in ("attributes", "reason", "payload", "mapping", "links", "exception")
    }
    assert [] == [span["name"] for span in spans if span["attributes"].get("otel_workflow.interrupted")]
    assert ({1}, said) == (
        {s["attributes"]["fine"] for s in spans if s["name"].startswith("witness before ")},
        19,
    )
    assert "success unset" == ends(spans)["last witness"]
    assert {"RUN hostile", "very large", "names", "\\udcff", ""} <= counts.keys()
    assert [] == sent_more_than_once(receiver)
    assert len(spans) == 7 * said + 8
