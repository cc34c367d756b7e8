"""OTLP over HTTP: what is taken, what is refused, and that nobody can make the daemon large or slow."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_workflow.bridge.daemon import http_server
from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.ingest import MAX_DECODED, MAX_WIRE
from tests.bridge.daemon.making import (
    SCRAPER,
    ask,
    health,
    log_event,
    logs,
    numbers,
    place_of,
    post,
    run_span,
    running,
    runs,
    task_span,
    total,
    traces,
    until,
)

TOKEN = b"0123456789abcdef-token"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def place(daemon: Daemon) -> Address:
    return place_of(daemon)


def test_a_run_that_is_sent_is_counted_once_however_often_it_is_sent(place: Address) -> None:
    body = traces(run_span(7), task_span(7, 2), task_span(7, 3, status=2))
    for _ in range(3):
        assert 200 == post(place, body)[0]
    found = numbers(place)
    assert (1, 2) == (runs(found), total(found, "otel_workflow_phase_runs_total"))
    assert 6 == found["otel_workflow_bridge_duplicates_total"]


def test_an_answer_means_that_the_numbers_are_on_disk(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        assert 200 == post(place_of(daemon), traces(run_span(7)))[0]
        daemon._writer.close()  # as a kill would: nothing more is written
        daemon._counting.stop(5.0)
    with running(tmp_path) as daemon:
        assert 1 == runs(numbers(place_of(daemon)))


@pytest.mark.parametrize("packed", [gzip.compress, lambda body: body])
def test_gzip_and_plain_bodies_are_taken(place: Address, packed: object) -> None:
    body = packed(traces(run_span(7)))  # type: ignore[operator]
    encoding = {"Content_Encoding": "gzip"} if packed is gzip.compress else {}
    assert 200 == post(place, body, **encoding)[0]
    assert 1 == runs(numbers(place))


def test_a_chunked_body_is_taken(place: Address) -> None:
    body = traces(run_span(7))
    head = "POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((place.host, place.port), timeout=10) as sock:
        sock.sendall(head.encode())
        for at in range(0, len(body), 50):
            piece = body[at : at + 50]
            sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert 1 == runs(numbers(place))


def test_log_events_open_a_run(place: Address) -> None:
    assert 200 == post(place, logs(log_event(7, "workflow.started")), "/v1/logs")[0]
    until(lambda: health(place)["remote_runs"] == 1)
    found = numbers(place)
    assert (0, 1) == (runs(found), total(found, "cicd_pipeline_run_active"))


def test_spans_that_make_no_sense_are_a_partial_success(place: Address) -> None:
    bad = task_span(7, 2)
    bad.span_id = b"short"
    status, headers, body = post(place, traces(bad, task_span(7, 3)))
    said = ExportTraceServiceResponse.FromString(body)
    assert (200, "application/x-protobuf", 1) == (status, headers["content-type"], said.partial_success.rejected_spans)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("POST", "/v1/metrics", 404),
        ("GET", "/v1/traces", 405),
        ("OPTIONS", "/v1/traces", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("BREW", "/", 405),
        ("GET", "/", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics?x=1", 200),
        ("HEAD", "/healthz", 200),
    ],
)
def test_paths_and_methods_have_their_answers(place: Address, method: str, path: str, status: int) -> None:
    answered, headers, body = ask(place, method, path, b"" if method == "POST" else None)
    assert status == answered
    assert ("allow" in headers) == (status == 405)
    assert (method == "HEAD") == (body == b"")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "text/plain"}, b"x", 415),
        ({"Content-Type": "application/x-protobuf", "Content-Encoding": "br"}, b"x", 415),
        ({"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, b"no gzip", 400),
        ({"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, gzip.compress(b"x" * 99)[:-9], 400),
        ({"Content-Type": "application/x-protobuf"}, b"no protobuf", 400),
        ({"Content-Type": "application/x-protobuf", "Content-Length": "many"}, b"", 400),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(
    place: Address, headers: dict[str, str], body: bytes, status: int
) -> None:
    answered, _, said = ask(place, "POST", "/v1/traces", body, headers)
    assert status == answered
    assert said


# ---- limits (failure matrix: WS/HTTP ingest size, rate, zip bomb) ------------------------


def test_ingest_size_a_body_beyond_4_mib_is_refused(place: Address) -> None:
    assert 413 == post(place, bytes(MAX_WIRE + 1))[0]
    until(lambda: total(numbers(place), "otel_workflow_bridge_refused_total", "too_large") == 1)


def test_ingest_size_more_than_16_mib_decoded_is_refused(place: Address) -> None:
    assert 413 == post(place, gzip.compress(bytes(MAX_DECODED + 1)), Content_Encoding="gzip")[0]


def test_zip_bomb_is_refused_and_costs_no_memory(place: Address) -> None:
    """256 MiB of zeros in 256 KiB, three at a time: the peak of this process grows by less than 32 MiB."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = bytearray()
    million = bytes(1 << 20)
    while len(bomb) < 1 << 18:
        bomb += packer.compress(million)
    bomb += packer.flush()
    before = _peak_kib()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(place, bytes(bomb), Content_Encoding="gzip")[0]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [413] * 3 == answers
    assert _peak_kib() - before < 32 * 1024


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


def test_a_sender_who_drips_is_cut_off(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 0.3)
    with socket.create_connection((place.host, place.port), timeout=10) as sock:
        sock.sendall(
            b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nx"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 408")


def test_a_sender_who_drips_its_headers_is_cut_off(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 0.3)
    with socket.create_connection((place.host, place.port), timeout=10) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\nX: ")
        assert b"" == sock.recv(100)


def test_connections_beyond_the_cap_are_closed_and_the_others_go_on(
    place: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 2)
    held = [socket.create_connection((place.host, place.port), timeout=10) for _ in range(3)]
    try:
        assert b"" == held[2].recv(1)
        held[0].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held[0].recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for sock in held:
            sock.close()


def test_when_the_disk_takes_nothing_senders_are_told_to_come_again(
    daemon: Daemon, place: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_workflow.errors import StateError

    real = daemon._writer.commit

    def full() -> None:
        raise StateError("no space left", code="OW-143")

    monkeypatch.setattr(daemon._writer, "commit", full)
    status, headers, _ = post(place, traces(run_span(7)))
    assert (503, "1") == (status, headers["retry-after"])
    status, _, body = ask(place, "GET", "/healthz")
    assert (503, False) == (status, json.loads(body)["ok"])
    assert 0 == runs(numbers(place))
    monkeypatch.setattr(daemon._writer, "commit", real)
    assert 200 == post(place, traces(run_span(7)))[0]
    assert 1 == runs(numbers(place))
    assert 200 == ask(place, "GET", "/healthz")[0]


def test_health_says_how_it_is(place: Address) -> None:
    post(place, traces(run_span(7)))
    found = health(place)
    assert (1, True, "ok", 0, 0, []) == (
        found["schema"],
        found["ok"],
        found["state"],
        found["backlog"],
        found["silent_runs"],
        found["unreadable"],
    )
    assert {"lag", "oldest_age", "last_success", "last_error", "delivered", "refused", "uptime"} <= found.keys()


def test_a_counting_that_hangs_is_no_health(daemon: Daemon, place: Address) -> None:
    daemon._counting._stopping = True  # it does not come round any more
    daemon._counting._bell.set()
    daemon._counting._thread.join(10)
    daemon._counting.turned -= 1000
    assert 503 == ask(place, "GET", "/healthz")[0]


# ---- who may send -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN.decode()}", 401),
        (f"Bearer {TOKEN.decode()}x", 401),
        ("Bearer t\xe9", 401),
        (f"Bearer {TOKEN.decode()}", 200),
        (f"bearer  {TOKEN.decode()} ", 200),
    ],
)
def test_with_a_token_only_who_has_it_may_send(tmp_path: Path, authorization: str, status: int) -> None:
    with running(tmp_path, token=TOKEN) as daemon:
        place = place_of(daemon)
        assert status == post(place, traces(run_span(7)), Authorization=authorization)[0]
        assert (status == 200) == (runs(numbers(place)) == 1)


# ---- the page ---------------------------------------------------------------------------


def test_a_page_that_a_person_looks_at_releases_nothing(tmp_path: Path) -> None:
    """Only what asks as a scraper does has kept the 0."""
    from otel_workflow.bridge.daemon.plan import Plan
    from otel_workflow.bridge.metrics import MetricsWriter
    from tests.bridge.daemon.making import LOOPBACK, parse

    writer = MetricsWriter(tmp_path, birth_hold=1000.0)
    daemon = Daemon(Plan(state=tmp_path, listen=(LOOPBACK,), metrics=LOOPBACK, deadline=5.0), writer)
    daemon.start()
    try:
        place = place_of(daemon)
        post(place, traces(run_span(7)))
        for _ in range(3):
            page = ask(place, "GET", "/metrics")[2].decode()
        assert 0 == runs(parse(page))
        ask(place, "HEAD", "/metrics", headers=SCRAPER)
        assert 0 == runs(parse(ask(place, "GET", "/metrics")[2].decode()))
        assert 1 == runs(numbers(place))
    finally:
        daemon.stop()


def test_openmetrics_is_given_to_who_accepts_it(place: Address) -> None:
    _, headers, body = ask(place, "GET", "/metrics", headers=SCRAPER)
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
