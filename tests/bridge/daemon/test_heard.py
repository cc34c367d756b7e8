"""Spans and log events of anybody become facts, if they carry the conventions' names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_workflow.bridge.daemon.heard import Heard, hear_logs, hear_traces
from otel_workflow.bridge.metrics import Began, Finished
from otel_workflow.bridge.otlp import encode_request, encode_span
from otel_workflow.bridge.span_data import SpanData
from tests.bridge.daemon.making import SECOND, START, log_event, logs, run_span, task_span, traces

TRACE, ROOT = f"{7:032x}", f"{1:016x}"


def test_a_server_span_with_pipeline_and_run_id_is_a_run() -> None:
    heard = hear_traces(traces(run_span(7, result="failure", **{"error.type": "AssertionError"})))
    assert [
        Finished(TRACE, ROOT, True, "nightly", "", "run", "failure", "AssertionError", START, START + 5 * SECOND)
    ] == heard.finished


def test_a_span_with_a_task_name_is_a_phase() -> None:
    [fact] = hear_traces(traces(task_span(7, 2, "compile", **{"otel_workflow.attempt": 3}))).finished
    assert (False, "nightly", "compile", "phase", "success", 3) == (
        fact.is_run,
        fact.workflow,
        fact.name,
        fact.detail,
        fact.outcome,
        fact.attempt,
    )


def test_without_a_result_the_status_tells() -> None:
    [fact] = hear_traces(traces(task_span(7, 2, status=2))).finished
    assert "failure" == fact.outcome


def test_the_names_may_stand_on_the_resource() -> None:
    root = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, kind=Span.SPAN_KIND_SERVER, start_time_unix_nano=1, end_time_unix_nano=2
    )
    heard = hear_traces(traces(root, cicd_pipeline_name="nightly", cicd_pipeline_run_id="r1"))
    assert [(True, "nightly")] == [(fact.is_run, fact.workflow) for fact in heard.finished]


def test_a_server_inside_a_job_is_no_run_though_it_shares_the_jobs_resource() -> None:
    inner = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_span_id=b"p" * 8,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1,
        end_time_unix_nano=2,
    )
    assert [] == hear_traces(traces(inner, cicd_pipeline_name="nightly", cicd_pipeline_run_id="r1")).finished


def test_an_ordinary_span_is_a_sign_of_life_and_nothing_else() -> None:
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET", start_time_unix_nano=1, end_time_unix_nano=2)
    heard = hear_traces(traces(span))
    assert ([], {b"t".hex() * 16}, 0) == (heard.finished, heard.alive, heard.rejected)


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": b"short"},
        {"trace_id": bytes(16)},
        {"span_id": b""},
        {"start_time_unix_nano": 0},
        {"end_time_unix_nano": 1},
    ],
)
def test_a_span_that_makes_no_sense_is_counted_and_the_rest_is_taken(change: dict[str, object]) -> None:
    bad = task_span(7, 2)
    for name, value in change.items():
        setattr(bad, name, value)
    heard = hear_traces(traces(bad, task_span(7, 3)), keep_spans=True)
    assert (1, 1, 1) == (heard.rejected, len(heard.finished), len(heard.spans))


def test_a_correction_of_a_verdict_is_not_counted_as_an_end() -> None:
    heard = hear_traces(traces(task_span(7, 2, **{"otel_workflow.late_verdict": True})))
    assert ([], 1) == (heard.finished, heard.late)


def test_our_own_bytes_are_read_as_anybodys() -> None:
    span = SpanData(b"t" * 16, b"s" * 8, "x", 1, 2, attributes={"cicd.pipeline.task.name": "x"})
    group = (b"", "", b"", "", [encode_span(span)])
    assert ["x"] == [fact.name for fact in hear_traces(encode_request([group])).finished]


def test_spans_are_kept_byte_for_byte_with_what_they_stand_under() -> None:
    span = task_span(7, 2)
    [kept] = hear_traces(traces(span, service_name="ci"), keep_spans=True).spans
    assert (span.SerializeToString(), b"https://example.org/schema") == (kept.span, kept.schema_url)
    assert b"service.name" in kept.resource


# ---- log events -------------------------------------------------------------------------


def test_a_started_event_is_a_start() -> None:
    heard = hear_logs(logs(log_event(7, "workflow.started", second=2)))
    assert [Began(TRACE, ROOT, True, "nightly", "", "run", START + 2 * SECOND)] == heard.began


def test_a_heartbeat_is_a_sign_of_life() -> None:
    heard = hear_logs(logs(log_event(7, "workflow.heartbeat")))
    assert ({TRACE}, False) == (heard.alive, heard.counts)


def test_an_end_event_that_says_how_long_it_took_is_an_end() -> None:
    [fact] = hear_logs(
        logs(log_event(7, "workflow.failed", second=9, otel_workflow__duration=4.0, error__type="timeout"))
    ).finished
    assert ("failure", "timeout", START + 5 * SECOND, START + 9 * SECOND) == (
        fact.outcome,
        fact.error_type,
        fact.start_ns,
        fact.end_ns,
    )


def test_an_end_event_without_a_duration_waits_for_a_start_that_is_known() -> None:
    heard = hear_logs(logs(log_event(7, "workflow.cancelled", second=9)))
    assert ([], [(TRACE, ROOT, "cancellation", None, START + 9 * SECOND)]) == (heard.finished, heard.ended)


def test_an_ordinary_log_record_of_a_trace_is_a_sign_of_life() -> None:
    heard = hear_logs(logs(log_event(7, "")))
    assert ({TRACE}, False) == (heard.alive, heard.counts)


# ---- hostile bytes ----------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_value_error(data: bytes) -> None:
    for hear in (hear_traces, hear_logs):
        try:
            assert isinstance(hear(data), Heard)
        except ValueError:
            continue


@given(st.data())
def test_a_request_with_flipped_bytes_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(traces(run_span(7), task_span(7, 2)) + logs(log_event(7, "workflow.started")))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for hear in (hear_traces, hear_logs):
        try:
            assert isinstance(hear(bytes(whole)), Heard)
        except ValueError:
            continue
