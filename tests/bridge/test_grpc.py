"""The gRPC client against a real gRPC server: what each status means, and that nothing can hold it up."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_workflow.bridge import grpc as client_module
from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.grpc import OtlpGrpcClient
from otel_workflow.bridge.grpc_answer import retry_info
from tests.bridge.grpc_peer import GrpcPeer, Reply, grpc, status

_ENOUGH, _SOON, _BOUND = 10.0, 0.3, 5.0
MakeClient = Callable[..., OtlpGrpcClient]


@pytest.fixture
def peer() -> Iterator[GrpcPeer]:
    with GrpcPeer() as made:
        yield made


@pytest.fixture
def client_of() -> Iterator[MakeClient]:
    clients: list[OtlpGrpcClient] = []

    def make(url: str, **options: Any) -> OtlpGrpcClient:
        clients.append(OtlpGrpcClient(Destination(url, protocol="grpc", **options)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def _send(client: OtlpGrpcClient, body: bytes = b"", within: float = _ENOUGH) -> Answer:
    client_module.grpc_library()  # loading it is not what is measured
    start = time.monotonic()
    answer = client.send(body, deadline=start + within)
    assert time.monotonic() - start < within + _BOUND
    return answer


def _retry_info(seconds: int | None, nanos: int = 0) -> tuple[str, bytes]:
    """RetryInfo as servers send it, made by the official classes."""
    from google.protobuf import any_pb2, duration_pb2
    from google.rpc import error_details_pb2, status_pb2

    delay = None if seconds is None else duration_pb2.Duration(seconds=seconds, nanos=nanos)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    other = any_pb2.Any()
    other.Pack(error_details_pb2.ErrorInfo(reason="quota"))
    said = status_pb2.Status(code=8, message="busy", details=[other, packed])
    return "grpc-status-details-bin", said.SerializeToString()


def _partial(body: bytes, context: Any) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="too\nold")
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


# ---- what the answer means --------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda body, context: b"", Answer("accepted", 0)),
        (_partial, Answer("accepted", 0, 3, "too old")),
        (lambda body, context: b"\xff\xff", Answer("accepted", 0, 0, "the answer does not parse")),
        (status("UNAVAILABLE", "busy"), Answer("retry", 14, message="UNAVAILABLE busy")),
        (status("UNAVAILABLE", "", _retry_info(7)), Answer("retry", 14, message="UNAVAILABLE", retry_after=7.0)),
        (status("CANCELLED"), Answer("retry", 1, message="CANCELLED")),
        (status("DEADLINE_EXCEEDED"), Answer("retry", 4, message="DEADLINE_EXCEEDED")),
        (status("ABORTED"), Answer("retry", 10, message="ABORTED")),
        (status("OUT_OF_RANGE"), Answer("retry", 11, message="OUT_OF_RANGE")),
        (status("DATA_LOSS"), Answer("retry", 15, message="DATA_LOSS")),
        (status("RESOURCE_EXHAUSTED", "", _retry_info(0)), Answer("retry", 8, 0, "RESOURCE_EXHAUSTED", 1.0)),
        (status("RESOURCE_EXHAUSTED", "", _retry_info(3600)), Answer("retry", 8, 0, "RESOURCE_EXHAUSTED", 900.0)),
        (status("RESOURCE_EXHAUSTED", "quota"), Answer("refused", 8, 0, "RESOURCE_EXHAUSTED quota", None, "either")),
        (
            status("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5000000 vs. 4194304)"),
            Answer(
                "refused",
                8,
                0,
                "RESOURCE_EXHAUSTED grpc: received message larger than max (5000000 vs. 4194304)",
                None,
                "size",
            ),
        ),
        (
            status("INVALID_ARGUMENT", "bad\x1b id"),
            Answer("refused", 3, 0, "INVALID_ARGUMENT bad id", None, "data"),
        ),
        (status("INTERNAL"), Answer("refused", 13, 0, "INTERNAL", None, "either")),
        (status("UNKNOWN"), Answer("refused", 2, 0, "UNKNOWN", None, "either")),
        (status("UNAUTHENTICATED", "who"), Answer("refused", 16, 0, "UNAUTHENTICATED who")),
        (status("PERMISSION_DENIED"), Answer("refused", 7, 0, "PERMISSION_DENIED")),
        (status("UNIMPLEMENTED"), Answer("refused", 12, 0, "UNIMPLEMENTED")),
    ],
)
def test_each_status_has_its_meaning(peer: GrpcPeer, client_of: MakeClient, reply: Reply, expected: Answer) -> None:
    peer.script(reply)
    assert expected == _send(client_of(peer.endpoint))


@pytest.mark.parametrize(
    ("trailers", "wait"),
    [
        ([], None),
        ([_retry_info(None)], 1.0),
        ([_retry_info(2, 500_000_000)], 2.5),
        ([_retry_info(-5)], 1.0),
        ([("grpc-status-details-bin", b"\xff\xff\xff")], None),
        ([("grpc-status-details-bin", b"\x1a\x02\x12\x00")], None),
        ([("google.rpc.retryinfo-bin", _retry_info(3)[1])], None),
    ],
)
def test_retry_info_is_read_where_the_protocol_puts_it(trailers: list[tuple[str, bytes]], wait: float | None) -> None:
    assert wait == retry_info(trailers)


def test_a_response_bomb_is_cut_at_the_cap_and_blames_no_span(peer: GrpcPeer, client_of: MakeClient) -> None:
    def bomb(body: bytes, context: Any) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return bytes(64 << 20)

    peer.script(lambda body, context: bytes(client_module.MAX_ANSWER + 1), bomb)
    client = client_of(peer.endpoint)
    cut = _send(client)
    assert ("unreachable", "the answer is too large to be OTLP's") == (cut.kind, cut.message)
    compressed = _send(client)
    assert ("refused", "either") == (compressed.kind, compressed.blames)
    assert "accepted" == _send(client).kind


# ---- what is sent -----------------------------------------------------------------------


def test_the_call_says_what_otlp_asks_for(peer: GrpcPeer, client_of: MakeClient) -> None:
    headers = (("x-team", "blue"), ("grpc-timeout", "1n"), ("te", "x"), ("trace-bin", "raw"), ("user-agent", "me"))
    url = peer.endpoint.replace("//", "//user:p%40ss@")
    assert "accepted" == _send(client_of(url, headers=headers), b"").kind
    (metadata,) = peer.metadata
    assert ("blue", b"raw", "Basic dXNlcjpwQHNz") == tuple(
        metadata[k] for k in ("x-team", "trace-bin", "authorization")
    )
    assert re.match(r"otel-workflow-OTLP-Exporter-Python/\d\S* grpc-python/", str(metadata["user-agent"]))


@pytest.mark.parametrize(("compression", "gzipped"), [("gzip", True), ("none", False)])
def test_large_bodies_are_compressed_unless_that_is_switched_off(
    client_of: MakeClient, compression: str, *, gzipped: bool
) -> None:
    """Seen on the wire: bytes that compress well do not stand there as they are."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, seen = listener.getsockname()[1], bytearray()

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS
                while b"grpc-encoding" not in seen and b"spans" * 200 not in seen:
                    seen.extend(connection.recv(65536) or b"spans" * 200)

        thread = threading.Thread(target=listen)
        thread.start()
        _send(client_of(f"http://127.0.0.1:{port}", compression=compression), b"spans" * 1000, within=1.0)
        thread.join()
    assert gzipped == (b"spans" * 20 not in seen)


def test_nothing_instruments_our_own_calls(
    peer: GrpcPeer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def watch(*args: Any, **options: Any) -> Any:
        seen.append(otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        seen.append(otel_context.get_value("suppress_instrumentation"))
        return real(*args, **options)

    real = grpc._channel._UnaryUnaryMultiCallable.with_call
    monkeypatch.setattr(grpc._channel._UnaryUnaryMultiCallable, "with_call", watch)
    client = client_of(peer.endpoint)
    assert client.connect(time.monotonic() + _ENOUGH)
    _send(client)
    assert [True] * 4 == seen
    assert otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None


# ---- nothing holds it up ----------------------------------------------------------------


def test_a_peer_that_never_answers_ends_at_the_deadline(peer: GrpcPeer, client_of: MakeClient) -> None:
    peer.script(peer.hang)
    expected = Answer("unreachable", message="no answer before the deadline")
    assert expected == _send(client_of(peer.endpoint), within=_SOON)
    assert "accepted" == _send(client_of(peer.endpoint)).kind


def test_the_timeout_of_the_destination_shortens_the_deadline(peer: GrpcPeer, client_of: MakeClient) -> None:
    peer.script(peer.hang)
    begun = time.monotonic()
    assert "unreachable" == _send(client_of(peer.endpoint, timeout=_SOON), within=60.0).kind
    assert time.monotonic() - begun < _BOUND


@pytest.mark.parametrize("silent", ["connecting", "calling"])
def test_another_thread_can_break_a_hanging_send_off(peer: GrpcPeer, client_of: MakeClient, silent: str) -> None:
    peer.script(peer.hang)
    answers: list[Answer] = []
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1] if silent == "connecting" else peer.port
        client = client_of(f"http://127.0.0.1:{port}")
        thread = threading.Thread(target=lambda: answers.append(_send(client, within=60.0)))
        thread.start()
        while client._channel is None:
            time.sleep(0.001)
        while silent == "calling" and not peer.requests:
            time.sleep(0.001)
        while thread.is_alive():  # once may be a moment too early; that is why the caller repeats it
            client.interrupt()
            thread.join(0.05)
    assert [Answer("unreachable", message="interrupted")] == answers


def test_a_server_that_comes_back_is_reached_at_the_next_send(client_of: MakeClient) -> None:
    with GrpcPeer() as first:
        client, port = client_of(first.endpoint), first.port
        assert "accepted" == _send(client).kind
    assert Answer("unreachable", message="connection refused") == _send(client)
    with GrpcPeer(port):
        assert "accepted" == _send(client).kind


def test_both_families_of_addresses_are_tried(
    peer: GrpcPeer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = [(family, 1, 6, "", (host, peer.port)) for family, host in ((10, "::1"), (2, "127.0.0.1"))]

    def both(host: str, port: int, **options: Any) -> Any:
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        return here

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert "accepted" == _send(client_of(f"http://collector.invalid:{peer.port}")).kind


def test_an_unknown_host_is_told_apart_from_a_silent_one(
    client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS failure: same as down; distinct reason."""

    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert Answer("unreachable", message="the host name is not known") == _send(client_of("http://otel.invalid:4317"))


def test_a_server_of_plain_http_is_named_as_the_reason(client_of: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=answer)
        thread.start()
        answered = _send(client_of(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()
    assert ("unreachable", "the peer does not speak gRPC (is it the port of OTLP over HTTP?)") == (
        answered.kind,
        answered.message,
    )


def test_a_proxy_is_asked_for_a_tunnel(peer: GrpcPeer, client_of: MakeClient) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert "unreachable" == _send(client_of("http://collector.invalid:4317", proxy=proxy)).kind
        thread.join()
    assert heard[0].startswith(b"CONNECT collector.invalid:4317 HTTP/1.")


# ---- forks ------------------------------------------------------------------------------


def test_before_a_fork_the_channel_and_its_threads_go(client_of: MakeClient) -> None:
    """In a process of its own: the server of these tests has threads too."""
    import subprocess
    import sys

    program = """
import os, sys, time
from pathlib import Path
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.grpc import OtlpGrpcClient
client = OtlpGrpcClient(Destination(sys.argv[1], protocol="grpc"))
threads = lambda: len(list(Path("/proc/self/task").iterdir()))
other = OtlpGrpcClient(Destination(sys.argv[1], protocol="grpc"))
assert other.send(b"", deadline=time.monotonic() + 10).kind == "accepted"
print(client.send(b"", deadline=time.monotonic() + 10).kind, threads() > 1)
other.before_fork()
client.before_fork()
print("alone", threads() == 1)
sys.stdout.flush()
child = os.fork()
os.write(1, client.send(b"", deadline=time.monotonic() + 10).kind.encode() + b"\\n")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    with GrpcPeer() as peer:
        run = [sys.executable, "-W", "error", "-c", program, peer.endpoint]
        said = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert ("", ["accepted True", "alone True", "accepted", "accepted"]) == (said.stderr, said.stdout.splitlines())


def test_a_forked_child_leaves_the_channel_of_its_parent_alone(
    peer: GrpcPeer, client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(peer.endpoint)
    _send(client)
    channel = client._channel
    mine = os.getpid()
    monkeypatch.setattr(client_module.os, "getpid", lambda: mine + 1)
    assert "accepted" == _send(client).kind
    assert channel is not client._channel
    assert client_module._inherited.pop() is channel
    channel.close()


def test_the_library_says_nothing_on_stderr_and_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import subprocess
    import sys

    program = """
import os, sys, time
from pathlib import Path
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.grpc import OtlpGrpcClient
assert "grpc" not in sys.modules
client = OtlpGrpcClient(Destination(sys.argv[1], protocol="grpc"))
assert client.send(b"", deadline=time.monotonic() + 10).kind == "unreachable"
assert "GRPC_VERBOSITY" not in os.environ
"""
    with GrpcPeer() as peer:
        secure = peer.endpoint.replace("http:", "https:")  # a handshake that fails is what gRPC likes to tell
        run = [sys.executable, "-c", program, secure]
        said = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert (0, "", "") == (said.returncode, said.stdout, said.stderr)


def test_compressed_bytes_are_what_the_server_reads(peer: GrpcPeer, client_of: MakeClient) -> None:
    body = zlib.compress(os.urandom(100)) + b"x" * 100_000
    _send(client_of(peer.endpoint), body)
    assert [body] == peer.requests
