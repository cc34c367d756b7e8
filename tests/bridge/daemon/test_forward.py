"""What was heard is sent on once, and never to ourselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon.addresses import Address, parse_listen
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.errors import ConfigError
from otel_workflow.testing import OtlpReceiver
from tests.bridge.daemon.making import (
    health,
    numbers,
    place_of,
    post,
    run_span,
    running,
    runs,
    task_span,
    traces,
    until,
)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


def to(receiver: OtlpReceiver) -> Destination:
    return Destination(f"{receiver.endpoint}/v1/traces")


def test_what_was_heard_arrives_byte_for_byte_and_once(tmp_path: Path, receiver: OtlpReceiver) -> None:
    span, other = run_span(7), task_span(8, 2, "x")
    with running(tmp_path, destination=to(receiver), forward=True) as daemon:
        for _ in range(3):
            assert 200 == post(place_of(daemon), traces(span, other, service_name="ci"))[0]
        assert receiver.wait_for(2)
        until(lambda: health(place_of(daemon))["backlog"] == 0)
        assert (2, 4) == (health(place_of(daemon))["delivered"], health(place_of(daemon))["heard_again"])
    assert sorted((s.span_id.hex(), s.SerializeToString()) for s in (span, other)) == sorted(receiver.span_bytes())
    assert {"ci"} == {arrived["resource"]["service.name"] for arrived in receiver.spans}


def test_without_forwarding_nothing_that_was_heard_is_sent(tmp_path: Path, receiver: OtlpReceiver) -> None:
    with running(tmp_path, destination=to(receiver)) as daemon:
        post(place_of(daemon), traces(run_span(7)))
        assert 1 == runs(numbers(place_of(daemon)))
    assert [] == list(receiver.spans)


def test_what_was_heard_outlives_a_collector_that_is_away_and_a_daemon_that_ends(tmp_path: Path) -> None:
    with OtlpReceiver() as gone:
        port = int(gone.endpoint.rpartition(":")[2])
    away = Destination(f"http://127.0.0.1:{port}/v1/traces")
    with running(tmp_path, destination=away, forward=True, deadline=1.0) as daemon:
        assert 200 == post(place_of(daemon), traces(run_span(7)))[0]
    with OtlpReceiver(port=port) as back, running(tmp_path, destination=away):
        assert back.wait_for(1)


def test_a_request_that_we_sent_ourselves_is_refused(tmp_path: Path, receiver: OtlpReceiver) -> None:
    with running(tmp_path, destination=to(receiver), forward=True) as daemon:
        via = daemon._instance
        assert 508 == post(place_of(daemon), traces(run_span(7)), otel_workflow_via=f"other, {via}")[0]
        assert 200 == post(place_of(daemon), traces(run_span(7)), otel_workflow_via="other")[0]


def test_a_loop_through_somebody_who_drops_our_header_ends_by_itself(tmp_path: Path, receiver: OtlpReceiver) -> None:
    with running(tmp_path, destination=to(receiver), forward=True) as daemon:
        post(place_of(daemon), traces(run_span(7)))
        assert receiver.wait_for(1)
        for request in list(receiver.requests):  # the collector sends it back to us
            post(place_of(daemon), request)
        until(lambda: health(place_of(daemon))["heard_again"] == 1)
        post(place_of(daemon), traces(run_span(8, span=9)))
        assert receiver.wait_for(2)
    assert 2 == len(receiver.spans)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "::1 over any", "this machine"])
def test_a_daemon_that_would_send_to_itself_does_not_start(tmp_path: Path, name: str) -> None:
    listen = parse_listen("http://127.0.0.1:0") if name in ("127.0.0.1", "localhost") else Address("http", "0.0.0.0", 0)
    writer = MetricsWriter(tmp_path / "probe")
    probe = Daemon(Plan(state=tmp_path / "probe", listen=(listen,), token=b"t" * 20), writer)
    port = probe.places[0].port
    probe.stop()
    host = {"localhost": "localhost", "this machine": "127.0.0.2"}.get(name, "127.0.0.1")
    plan = Plan(
        state=tmp_path / "state",
        listen=(Address("http", listen.host, port),),
        destination=Destination(f"http://{host}:{port}/v1/traces"),
        token=b"t" * 20,
    )
    writer = MetricsWriter(tmp_path / "state")
    try:
        with pytest.raises(ConfigError) as refused:
            Daemon(plan, writer)
        assert "OW-154" == refused.value.code
    finally:
        writer.close()


def test_another_port_of_this_machine_is_no_loop(tmp_path: Path, receiver: OtlpReceiver) -> None:
    with running(tmp_path, destination=to(receiver)) as daemon:
        assert daemon.places


def test_what_the_disk_does_not_take_now_is_to_come_again(
    tmp_path: Path, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, destination=to(receiver), forward=True) as daemon:
        assert daemon._forward is not None
        monkeypatch.setattr(daemon._forward._writer, "write", lambda kind, payload: False)
        status, headers, _ = post(place_of(daemon), traces(run_span(7)))
        assert (503, "1") == (status, headers["retry-after"])
        monkeypatch.undo()
        assert 200 == post(place_of(daemon), traces(run_span(7)))[0]
        assert receiver.wait_for(1)
