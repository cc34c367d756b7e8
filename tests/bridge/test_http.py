"""The OTLP client against real sockets: what each answer means, and that no peer can hold it up or make it raise."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_workflow.bridge import http
from otel_workflow.bridge.answer import Answer, interpret, parse_retry_after
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.errors import ConfigError

_settings = settings(deadline=None, max_examples=100, database=None)
_SOON = 0.3  # the deadline of a send that must run into it
_ENOUGH = 10.0  # the deadline of a send that must not
_BOUND = 5.0  # generous: only what ignores its deadline takes longer

Handler = Callable[[socket.socket, threading.Event], None]


class Peer:
    """A TCP server of one thread that gives its connections, one after the other, to the handlers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def serve(self, *handlers: Handler) -> Peer:
        def run() -> None:
            for handler in handlers:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                self.connections += 1
                with connection:
                    connection.settimeout(20)
                    try:
                        handler(connection, self._stop)
                    except OSError:
                        continue

        self._thread = threading.Thread(target=run)
        self._thread.start()
        return self

    def read(self, connection: socket.socket) -> bool:
        """Read one request; False at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return False
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        self.requests.append((head.decode(), body))
        return True

    def replying(self, *answers: bytes) -> Handler:
        """A handler that reads a request before each answer and then closes."""

        def handle(connection: socket.socket, stop: threading.Event) -> None:
            for answer in answers:
                if self.read(connection):
                    connection.sendall(answer)

        return handle

    def dripping(self, start: bytes, drop: bytes) -> Handler:
        """A handler that answers ``start`` and then ``drop`` again and again, slowly, for ever."""

        def handle(connection: socket.socket, stop: threading.Event) -> None:
            self.read(connection)
            connection.sendall(start)
            while not stop.wait(0.02):
                connection.sendall(drop)

        return handle

    def close(self) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread is not None:
            self._thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def client_of() -> Iterator[Callable[..., OtlpHttpClient]]:
    clients: list[OtlpHttpClient] = []

    def make(url: str, **options: Any) -> OtlpHttpClient:
        clients.append(OtlpHttpClient(Destination(url, **options)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


MakeClient = Callable[..., OtlpHttpClient]


def _response(status: int, body: bytes = b"", content_type: str = "application/x-protobuf", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def _send(client: OtlpHttpClient, body: bytes = b"spans", within: float = _ENOUGH) -> Answer:
    start = time.monotonic()
    answer = client.send(body, deadline=start + within)
    assert time.monotonic() - start < within + _BOUND
    return answer


def _partial(rejected: int, message: str) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


# ---- what the answer means --------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (_response(200), Answer("accepted", 200)),
        (_response(202, content_type=""), Answer("accepted", 202)),
        (_response(200, _partial(3, "too\nold")), Answer("accepted", 200, 3, "too old")),
        (_response(200, _partial(0, "slow down")), Answer("accepted", 200, 0, "slow down")),
        (_response(200, b"\xff\xff"), Answer("accepted", 200, 0, "the answer does not parse")),
        (_response(200, b"{}", "application/json"), Answer("accepted", 200)),
        (_response(200, b'{"partialSuccess": {"rejectedSpans": "4"}}', "application/json"), Answer("accepted", 200, 4)),
        (_response(400, b"\x08\x03\x12\x07bad id!"), Answer("refused", 400, message="bad id!", blames="data")),
        (_response(401, b"who\x1b[31m are\r\n you", "text/plain"), Answer("refused", 401, message="who [31m are you")),
        (_response(413), Answer("refused", 413, blames="size")),
        (_response(404, b"x" * 999, "text/plain"), Answer("refused", 404, message="x" * 200)),
        (_response(408), Answer("retry", 408)),
        (_response(429, Retry_After="7"), Answer("retry", 429, retry_after=7.0)),
        (_response(500), Answer("retry", 500, blames="either")),
        (_response(503, Retry_After="3600"), Answer("retry", 503, retry_after=900.0)),
        (_response(599, Retry_After="soon"), Answer("retry", 599)),
    ],
)
def test_each_status_has_its_meaning(peer: Peer, client_of: MakeClient, response: bytes, expected: Answer) -> None:
    peer.serve(peer.replying(response))
    assert _send(client_of(peer.url)) == expected


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain", "", "application/octet-stream"])
def test_a_success_that_is_not_otlp_is_a_captive_portal(peer: Peer, client_of: MakeClient, content_type: str) -> None:
    peer.serve(peer.replying(_response(200, b"<html>Please log in</html>", content_type)))
    answer = _send(client_of(peer.url))
    assert (answer.kind, answer.status) == ("unreachable", 200)
    assert "not an OTLP receiver" in answer.message


def test_a_redirect_is_told_and_not_followed(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(_response(307, Location="https://user:secret@other.example/v1/traces?token=secret")))
    answer = _send(client_of(peer.url))
    assert answer == Answer("unreachable", 307, message="redirected to https://other.example/v1/traces, not followed")


_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 1.0),
        ("12", 12.0),
        (" 12 ", 12.0),
        ("999999999999", 900.0),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        (format_datetime(_NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(_NOW - timedelta(days=1), usegmt=True), 1.0),
        (format_datetime(_NOW + timedelta(days=1), usegmt=True), 900.0),
        ("Thu, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, _NOW.timestamp()) == seconds


@_settings
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [-+A-Z0-9]+"))
def test_any_retry_after_gives_a_bounded_wait_or_none(value: str) -> None:
    seconds = parse_retry_after(value, _NOW.timestamp())
    assert seconds is None or 1.0 <= seconds <= 900.0


@_settings
@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["Content-Type", "location", "Retry-After"]), st.text(), max_size=3),
    st.sampled_from(["application/x-protobuf", "application/json", None]),
    st.none() | st.binary(),
)
def test_interpreting_never_raises(status: int, headers: dict[str, str], known: str | None, body: bytes | None) -> None:
    answer = interpret(status, {**headers, "Content-Type": known} if known else headers, body)
    assert answer.message.isprintable()
    assert len(answer.message) < 300
    assert answer.rejected >= 0


# ---- trouble on the way -----------------------------------------------------------------


def test_a_port_where_nobody_listens_is_unreachable(client_of: MakeClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = client_of(f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces")
        assert _send(client) == Answer("unreachable", message="connection refused")
        assert client.connect(time.monotonic() + _ENOUGH) is False


def test_a_host_that_takes_no_connection_ends_at_the_deadline(client_of: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        answer = _send(client_of(f"http://127.0.0.1:{full.getsockname()[1]}/"), within=_SOON)
        for filler in fillers:
            filler.close()
    assert answer == Answer("unreachable", message="no answer before the deadline")


def test_a_host_that_never_answers_ends_at_the_deadline(peer: Peer, client_of: MakeClient) -> None:
    assert _send(client_of(peer.url), within=_SOON) == Answer("unreachable", message="no answer before the deadline")


def test_a_host_that_never_reads_ends_at_the_deadline(peer: Peer, client_of: MakeClient) -> None:
    client = client_of(peer.url, compression="none")
    assert _send(client, bytes(64 << 20), within=_SOON).message == "no answer before the deadline"


def test_a_deadline_that_has_passed_opens_nothing(peer: Peer, client_of: MakeClient) -> None:
    assert _send(client_of(peer.url), within=-1.0).message == "no answer before the deadline"
    assert client_of(peer.url).connect(time.monotonic() - 1) is False


def test_the_timeout_shortens_a_deadline(peer: Peer, client_of: MakeClient) -> None:
    start = time.monotonic()
    client_of(peer.url, timeout=_SOON).send(b"", deadline=start + 60)
    assert time.monotonic() - start < _SOON + _BOUND


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9999\r\n\r\n", b"\x08"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n\x08\r\n"),
    ],
    ids=["status line", "headers", "body", "chunks"],
)
def test_an_answer_that_drips_ends_at_the_deadline(
    peer: Peer, client_of: MakeClient, start: bytes, drop: bytes
) -> None:
    peer.serve(peer.dripping(start, drop))
    assert _send(client_of(peer.url), within=_SOON).kind == "unreachable"


def test_a_status_counts_even_if_its_body_drips(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.dripping(b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 9999\r\n\r\n", b"x"))
    assert _send(client_of(peer.url), within=_SOON) == Answer("retry", 503, retry_after=5.0)


def _gzipped(size: int) -> bytes:
    return zlib.compress(bytes(size), 9, wbits=31)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (_response(200, bytes(5 << 20)), "unreachable"),
        (_response(200, _gzipped(64 << 20), Content_Encoding="gzip"), "unreachable"),
        (_response(200, b"no gzip", Content_Encoding="gzip"), "unreachable"),
        (_response(200, b"\x00", Content_Encoding="br"), "unreachable"),
        (_response(503, _gzipped(64 << 20), Content_Encoding="gzip"), "retry"),
        (_response(400, bytes(5 << 20)), "refused"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unreachable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable"),
        (b"", "unreachable"),
    ],
    ids=[
        "large",
        "bomb",
        "no gzip",
        "br",
        "503 bomb",
        "400 large",
        "headers",
        "header",
        "short",
        "chunk",
        "ssh",
        "eof",
    ],
)
def test_a_broken_or_huge_answer_is_no_success(peer: Peer, client_of: MakeClient, response: bytes, kind: str) -> None:
    peer.serve(peer.replying(response))
    answer = _send(client_of(peer.url))
    assert answer.kind == kind
    assert len(answer.message) <= 250


def test_a_bomb_is_not_unpacked_into_memory(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(_response(200, _gzipped(64 << 20), Content_Encoding="gzip")))
    tracemalloc.start()
    try:
        answer = _send(client_of(peer.url))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer == Answer("unreachable", 200, message="the answer could not be read")
    assert peak < 32 << 20


def test_an_endless_answer_is_read_up_to_the_cap(peer: Peer, client_of: MakeClient) -> None:
    def flood(connection: socket.socket, stop: threading.Event) -> None:
        peer.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n")
        while not stop.is_set():
            connection.sendall(bytes(1 << 16))

    peer.serve(flood)
    assert _send(client_of(peer.url)) == Answer("unreachable", 200, message="the answer could not be read")


def test_a_gzipped_answer_is_read(peer: Peer, client_of: MakeClient) -> None:
    body = zlib.compress(_partial(2, "old"), wbits=31)
    peer.serve(peer.replying(_response(200, body, Content_Encoding="gzip")))
    assert _send(client_of(peer.url)) == Answer("accepted", 200, 2, "old")


@settings(deadline=None, max_examples=60, database=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
)
def test_no_bytes_make_it_raise(garbage: bytes, start: bytes) -> None:
    peer = Peer()
    client = OtlpHttpClient(Destination(peer.url))
    try:
        peer.serve(peer.replying(start + garbage))
        assert isinstance(_send(client), Answer)
    finally:
        client.close()
        peer.close()


def test_a_resolver_that_hangs_ends_at_the_deadline(client_of: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, real = threading.Event(), socket.getaddrinfo

    def slow(*args: Any, **options: Any) -> Any:
        if options.get("flags"):
            return real(*args, **options)
        answered.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    answer = _send(client_of("http://collector.invalid:4318/v1/traces"), within=_SOON)
    answered.set()
    assert answer == Answer("unreachable", message="no answer before the deadline")


def test_an_unknown_host_is_unreachable(client_of: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert _send(client_of("http://collector.invalid/")).message == "the host name is not known"


def test_the_last_known_address_serves_while_no_thread_can_be_started(
    peer: Peer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.serve(peer.replying(_response(200)), peer.replying(_response(200)))
    client = client_of(f"http://localhost:{peer.port}/v1/traces")
    assert _send(client).kind == "accepted"
    client.close()

    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert _send(client).kind == "accepted"
    assert _send(client_of(f"http://localhost:{peer.port}/")).kind == "unreachable"


# ---- connections ------------------------------------------------------------------------


def test_one_connection_carries_many_requests(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(*[_response(200, _partial(1, "no"))] * 3))
    client = client_of(peer.url)
    assert client.connect(time.monotonic() + _ENOUGH)
    assert [_send(client).rejected for _ in range(3)] == [1, 1, 1]
    assert peer.connections == 1


def test_a_kept_connection_that_was_closed_is_opened_again(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(*[peer.replying(_response(200))] * 3)
    client = client_of(peer.url)
    assert [_send(client).kind for _ in range(3)] == ["accepted"] * 3
    assert peer.connections == 3


def test_a_server_that_always_closes_is_asked_twice_at_most(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(*[peer.replying(_response(200)), *[peer.replying(b"")] * 3])
    client = client_of(peer.url)
    assert [_send(client).kind for _ in range(2)] == ["accepted", "unreachable"]
    assert len(peer.requests) <= 3


def test_connection_close_is_honoured(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(*[peer.replying(_response(503, b"busy", "text/plain", Connection="close"))] * 2)
    client = client_of(peer.url)
    assert [_send(client).message for _ in range(2)] == ["busy", "busy"]


def test_an_answer_that_comes_before_everything_was_read_is_heard(peer: Peer, client_of: MakeClient) -> None:
    def refuse(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(1000)
        connection.sendall(_response(413, Connection="close"))

    peer.serve(refuse)
    assert _send(client_of(peer.url, compression="none"), bytes(16 << 20)).status == 413


def test_a_forked_child_opens_its_own_connection(
    peer: Peer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.serve(*[peer.replying(_response(200), _response(200))] * 2)
    client = client_of(peer.url)
    _send(client)
    monkeypatch.setattr(http.os, "getpid", lambda: 1)
    assert _send(client).kind == "accepted"
    assert peer.connections == 2


@pytest.mark.parametrize("warm", [False, True], ids=["first request", "kept connection"])
@pytest.mark.parametrize("secure", [False, True], ids=["reading", "handshake"])
def test_another_thread_can_break_a_hanging_send_off(
    peer: Peer, client_of: MakeClient, *, warm: bool, secure: bool
) -> None:
    def deaf(connection: socket.socket, stop: threading.Event) -> None:
        if warm and not secure:
            peer.read(connection)
            connection.sendall(_response(200))
        connection.recv(65536)
        arrived.set()
        stop.wait(20)

    arrived, answers = threading.Event(), list[Answer]()
    peer.serve(deaf, deaf)
    client = client_of(peer.url.replace("http:", "https:") if secure else peer.url)
    if warm and not secure:
        assert _send(client).kind == "accepted"
    thread = threading.Thread(target=lambda: answers.append(_send(client, within=60.0)))
    thread.start()
    assert arrived.wait(10)
    while thread.is_alive():
        client.interrupt()
        thread.join(0.05)
    assert answers == [Answer("unreachable", message="interrupted")]


def test_nothing_instruments_our_own_requests(
    peer: Peer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    real = HTTPConnection.request

    def watch(self: HTTPConnection, *args: Any, **options: Any) -> None:
        seen.append(otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY))
        seen.append(otel_context.get_value("suppress_instrumentation"))
        real(self, *args, **options)

    monkeypatch.setattr(HTTPConnection, "request", watch)
    peer.serve(peer.replying(_response(200)))
    assert _send(client_of(peer.url)).kind == "accepted"
    assert seen == [True, True]
    assert otel_context.get_value("suppress_instrumentation") is None


# ---- what is sent -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "compression", "gzipped"), [(1024, "gzip", False), (5000, "gzip", True), (5000, "none", False)]
)
def test_large_bodies_are_compressed_unless_that_is_switched_off(
    peer: Peer, client_of: MakeClient, size: int, compression: str, gzipped: bool
) -> None:
    peer.serve(peer.replying(_response(200)))
    body = b"s" * size
    _send(client_of(peer.url, compression=compression), body)
    ((head, sent),) = peer.requests
    assert ("content-encoding: gzip" in head.lower()) is gzipped
    assert (zlib.decompress(sent, wbits=31) if gzipped else sent) == body


def test_the_request_says_what_otlp_asks_for(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(_response(200)))
    url = f"http://user:p%40ss@127.0.0.1:{peer.port}/otlp/v1/traces?key=1"
    headers = (("x-team", "größe"), ("content-length", "3"), ("host", "elsewhere"))
    _send(client_of(url, headers=headers), b"spans")
    ((head, body),) = peer.requests
    lines = head.split("\r\n")
    assert lines[0] == "POST /otlp/v1/traces?key=1 HTTP/1.1"
    fields = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines[1:]}
    assert fields["host"] == f"127.0.0.1:{peer.port}"
    assert fields["content-type"] == "application/x-protobuf"
    assert fields["content-length"] == "5"
    assert fields["authorization"] == "Basic dXNlcjpwQHNz"
    assert fields["x-team"] == "größe"
    assert body == b"spans"


def test_an_http_proxy_is_asked_for_the_whole_url(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(_response(200)))
    client = client_of("http://u:p@collector.invalid:4318/v1/traces", proxy=f"http://a:b@127.0.0.1:{peer.port}")
    assert _send(client).kind == "accepted"
    ((head, _),) = peer.requests
    assert head.startswith("POST http://collector.invalid:4318/v1/traces HTTP/1.1\r\n")
    assert "proxy-authorization: Basic YTpi" in head


def test_a_proxy_that_opens_no_tunnel_is_unreachable(peer: Peer, client_of: MakeClient) -> None:
    peer.serve(peer.replying(b"HTTP/1.1 403 Forbidden\r\n\r\n"))
    client = client_of("https://collector.invalid/v1/traces", proxy=f"http://127.0.0.1:{peer.port}")
    assert _send(client) == Answer("unreachable", message="the proxy answered 403")
    assert peer.requests[0][0].startswith("CONNECT collector.invalid:443 HTTP/1.1\r\n")


# ---- TLS --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    argv = [openssl, "req", "-x509", "-days", "2", *key, *name, "-out", "cert.pem"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    return folder


def _over_tls(certificate: Path, handler: Handler, *, first: Handler | None = None, mutual: bool = False) -> Handler:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate / "cert.pem")

    def handle(connection: socket.socket, stop: threading.Event) -> None:
        if first is not None:
            first(connection, stop)
        with context.wrap_socket(connection.dup(), server_side=True) as secure:
            handler(secure, stop)

    return handle


def test_https_with_a_given_certificate_and_client_certificate(
    peer: Peer, client_of: MakeClient, certificate: Path
) -> None:
    peer.serve(_over_tls(certificate, peer.replying(_response(200), _response(200)), mutual=True))
    files = {"certificate": "cert.pem", "client_certificate": "cert.pem", "client_key": "key.pem"}
    client = client_of(f"https://localhost:{peer.port}/", **{k: str(certificate / v) for k, v in files.items()})
    assert [_send(client, bytes(100_000)).kind for _ in range(2)] == ["accepted"] * 2
    assert peer.connections == 1


def test_https_through_a_proxy(peer: Peer, client_of: MakeClient, certificate: Path) -> None:
    tunnel = peer.replying(b"HTTP/1.1 200 Connection established\r\n\r\n")
    peer.serve(_over_tls(certificate, peer.replying(_response(200)), first=tunnel))
    proxy = f"http://127.0.0.1:{peer.port}"
    client = client_of("https://localhost:4318/", certificate=str(certificate / "cert.pem"), proxy=proxy)
    assert _send(client).kind == "accepted"


def test_a_certificate_of_nobody_is_unreachable(peer: Peer, client_of: MakeClient, certificate: Path) -> None:
    peer.serve(_over_tls(certificate, peer.replying(_response(200))))
    answer = _send(client_of(f"https://localhost:{peer.port}/"))
    assert answer.kind == "unreachable"
    assert answer.message.startswith("certificate: ")


@pytest.mark.parametrize("option", ["certificate", "client_certificate"])
def test_a_certificate_file_that_is_missing_is_named_as_the_reason(
    peer: Peer, client_of: MakeClient, option: str
) -> None:
    peer.serve(peer.replying())
    answer = _send(client_of(f"https://localhost:{peer.port}/", **{option: "/nowhere.pem"}))
    assert answer.kind == "unreachable"
    assert "certificate files" in answer.message


def test_a_plain_server_behind_https_is_unreachable(peer: Peer, client_of: MakeClient) -> None:
    def answer_in_plain(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(_response(400))

    peer.serve(answer_in_plain)
    assert _send(client_of(peer.url.replace("http:", "https:"))).kind == "unreachable"


def test_a_handshake_that_never_ends_ends_at_the_deadline(peer: Peer, client_of: MakeClient) -> None:
    assert _send(client_of(peer.url.replace("http:", "https:")), within=_SOON).kind == "unreachable"


# ---- where to ---------------------------------------------------------------------------

_BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def _from(**variables: str) -> Destination:
    environ = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}
    destination = Destination.from_environ({**_BASE, **environ})
    assert destination is not None
    return destination


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {**_BASE, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense", "OTEL_TRACES_EXPORTER": " None "},
    ],
)
def test_without_an_endpoint_or_with_the_exporter_off_there_is_no_destination(environ: Mapping[str, str]) -> None:
    assert Destination.from_environ(environ) is None


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"ENDPOINT": "https://c/otlp?key=1"}, "https://c/otlp/v1/traces?key=1"),
        ({"ENDPOINT": "http://[::1]:4318"}, "http://[::1]:4318/v1/traces"),
        ({"ENDPOINT": "http://bücher.example/ä b"}, "http://xn--bcher-kva.example/%C3%A4%20b/v1/traces"),
        ({"TRACES_ENDPOINT": "http://c:4318"}, "http://c:4318"),
        ({"TRACES_ENDPOINT": "http://c/traces/"}, "http://c/traces/"),
        ({"TRACES_ENDPOINT": ""}, "http://collector:4318/v1/traces"),
    ],
)
def test_the_url_is_the_endpoint_with_the_path_of_traces(variables: dict[str, str], url: str) -> None:
    assert _from(**variables).url == url


def test_all_variables_are_read_those_of_traces_first() -> None:
    destination = _from(
        HEADERS="a=1",
        TRACES_HEADERS=" Authorization = Bearer%20x%3D1 ,, X-Empty=, b=c=d",
        TIMEOUT="3",
        TRACES_TIMEOUT="2.5",
        COMPRESSION="none",
        CERTIFICATE="/ca.pem",
        CLIENT_CERTIFICATE="/c.pem",
        CLIENT_KEY="/k.pem",
        PROTOCOL="grpc",
        TRACES_PROTOCOL="http/protobuf",
    )
    assert destination == Destination(
        "http://collector:4318/v1/traces",
        headers=(("authorization", "Bearer x=1"), ("x-empty", ""), ("b", "c=d")),
        timeout=2.5,
        compression="none",
        certificate="/ca.pem",
        client_certificate="/c.pem",
        client_key="/k.pem",
    )
    assert (_from().timeout, _from().compression, _from().headers) == (10.0, "gzip", ())


@pytest.mark.parametrize(
    "endpoint",
    [
        "collector:4318",
        "localhost",
        "grpc://collector:4317",
        "http://",
        "http://:4318",
        "http://collector:port",
        "http://collector:99999",
        "http://[::1",
        "http://a b/",
        "http://" + "a" * 64 + ".example/",
        "http://collector\x00/",
        "http://collector/\udcff",
        "http://user:se/secret@collector",
        "//user:secret@collector?secret",
    ],
)
@pytest.mark.parametrize("name", ["ENDPOINT", "TRACES_ENDPOINT"])
def test_a_malformed_endpoint_is_an_error_that_names_the_variable(name: str, endpoint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _from(**{name: endpoint})
    assert caught.value.code == "OW-111"
    assert f"OTEL_EXPORTER_OTLP_{name}=" in str(caught.value)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("protocol", ["http/json", "smoke"])
def test_another_protocol_is_an_error_with_a_remedy(protocol: str) -> None:
    with pytest.raises(ConfigError, match=f"OTEL_EXPORTER_OTLP_PROTOCOL='{protocol}'") as caught:
        _from(PROTOCOL=protocol)
    assert caught.value.code == "OW-112"
    assert "http/protobuf" in caught.value.hint


@pytest.mark.parametrize(
    "variables",
    [
        {"HEADERS": "a=1,secret"},
        {"HEADERS": "a b=secret"},
        {"HEADERS": "a=secret%0d%0aEvil: 1"},
        {"HEADERS": "=secret"},
        {"TIMEOUT": "soon"},
        {"TIMEOUT": "-1"},
        {"TIMEOUT": "nan"},
        {"COMPRESSION": "zstd"},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_used_is_an_error_without_the_secret(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        _from(**variables)
    assert caught.value.code == "OW-113"
    assert f"OTEL_EXPORTER_OTLP_{next(iter(variables))}" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"http_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ({"https_proxy": "http://p:1"}, None),
        ({"all_proxy": "http://p:1"}, "http://p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "other, .example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "xample"}, "http://p:1"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*"}, None),
    ],
    ids=str,
)
def test_the_proxy_is_the_one_the_environment_names(environ: dict[str, str], proxy: str | None) -> None:
    found = Destination.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example", **environ})
    assert found is not None
    assert found.proxy == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_is_never_asked_for_through_a_proxy(host: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:4318", "all_proxy": "http://p:1"}
    found = Destination.from_environ(environ)
    assert found is not None
    assert found.proxy is None


@pytest.mark.parametrize("proxy", ["socks5://u:secret@p:1", "http://u:secret@p:port"])
def test_a_proxy_of_another_kind_is_an_error(proxy: str) -> None:
    with pytest.raises(ConfigError, match="all_proxy=") as caught:
        Destination.from_environ({**_BASE, "all_proxy": proxy})
    assert "secret" not in str(caught.value)


def test_the_key_tells_destinations_apart_and_nothing_shows_a_secret() -> None:
    plain = Destination("http://u:secret@c:4318/v1/traces?token=secret", headers=(("a", "secret"), ("b", "2")))
    same = Destination(plain.url, headers=(("b", "2"), ("a", "secret")), timeout=1, compression="none")
    assert plain.key == same.key
    assert re.fullmatch("[0-9a-f]{64}", plain.key)
    assert len({plain.key, Destination(plain.url).key, Destination("http://c", headers=plain.headers).key}) == 3
    assert plain.display == "http://c:4318/v1/traces"
    assert "secret" not in plain.key + plain.display + repr(plain)
