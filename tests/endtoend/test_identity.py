"""The same run gives the same bytes, however and however often it is sent; equal names keep apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program
from tests.endtoend.shipping import copied, ship
from tests.endtoend.spans import named, parents, sent_more_than_once
from tests.servers.jaeger import Jaeger

RUN = "RUN everything"
TREE = {
    RUN: "-",
    "build": RUN,
    "GET /cache": "build",
    "inside a library's span": "GET /cache",
    "test": RUN,
    "deploy": RUN,
    "notify": RUN,
    "fan out": RUN,
    "by the child": "fan out",
    "killed": "fan out",
}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


def record(journal: Path, **env: str) -> str:
    """Let the program run; return its trace id."""
    with Program("everything", OW_JOURNAL=str(journal), **env) as program:
        trace_id: str = program.hear()["trace"]
        ended = program.finish()
    assert (0, "") == (ended.code, ended.stderr)
    return trace_id


def _with_resource(receiver: OtlpReceiver) -> list[tuple[bytes, Any, Any]]:
    """Every span as it came, with the resource and scope it came under."""
    sent = zip(receiver.span_bytes(), receiver.spans, strict=True)
    return sorted((raw, span["resource"], span["scope"]) for (_, raw), span in sent)


def test_two_shipments_of_one_journal_are_byte_identical(receiver: OtlpReceiver, tmp_path: Path) -> None:
    record(tmp_path / "journal")
    first, second = copied(tmp_path / "journal", tmp_path / "1"), copied(tmp_path / "journal", tmp_path / "2")
    ship(first, receiver.endpoint)
    assert TREE == parents(receiver.spans)
    with OtlpReceiver() as another:
        ship(second, another.endpoint)
        assert _with_resource(receiver) == _with_resource(another)


def test_a_directory_that_was_shipped_sends_nothing_again(receiver: OtlpReceiver, tmp_path: Path) -> None:
    record(tmp_path / "journal")
    ship(tmp_path / "journal", receiver.endpoint)
    once = receiver.span_bytes()
    ship(tmp_path / "journal", receiver.endpoint)
    assert once == receiver.span_bytes()
    assert [] == sent_more_than_once(receiver)


def test_what_goes_out_in_process_is_what_ship_would_send(receiver: OtlpReceiver, tmp_path: Path) -> None:
    record(tmp_path / "journal", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    in_process = receiver.span_bytes()
    assert TREE == parents(receiver.spans)
    assert [] == sent_more_than_once(receiver)

    ship(copied(tmp_path / "journal", tmp_path / "copy"), receiver.endpoint)
    assert sorted(in_process) == sorted(receiver.span_bytes()[len(in_process) :])


def test_three_ways_lead_to_one_span_per_id_in_jaeger(jaeger: Jaeger, tmp_path: Path) -> None:
    trace_id = record(tmp_path / "journal", OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.endpoint)
    ship(copied(tmp_path / "journal", tmp_path / "1"), jaeger.endpoint)
    ship(copied(tmp_path / "journal", tmp_path / "2"), jaeger.endpoint)

    spans = jaeger.wait_for_trace(trace_id, spans=len(TREE))["spans"]
    assert Counter(TREE.keys()) == Counter(span["operationName"] for span in spans)
    assert len(TREE) == len({span["spanID"] for span in spans})
    assert [] == [span["warnings"] for span in spans if span.get("warnings")]


@pytest.mark.parametrize(("who", "count"), [("children", 4), ("threads", 1000)])
def test_phases_of_one_name_have_ids_of_their_own_and_none_is_lost(
    who: str, count: int, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    with Program("many", who, OW_JOURNAL=str(tmp_path)) as program:
        run = program.hear()["run"]
        made = [said["span"] for said in program.hear_all()]
        assert (0, "") == program.finish()[:2]
    ship(tmp_path, receiver.endpoint)

    work = [span for span in receiver.spans if span["name"] == "work"]
    assert count == len(set(made))
    assert sorted(made) == sorted(span["span_id"] for span in work)
    assert {run} == {span["parent_span_id"] for span in work}
    assert run == named(receiver.spans, "RUN many")["span_id"]
