"""A small OTLP collector for tests: a real HTTP server on a port of this machine.

::

    with OtlpReceiver() as receiver:
        receiver.script(503, "hang")
        ...  # send to receiver.endpoint
        assert receiver.wait_for(3, timeout=5)
        assert receiver.spans[0]["name"] == "compile"

What it was told to answer it answers once per request, in that order; after that it accepts
everything. Spans of a request it did not accept are not in ``spans``.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from otel_workflow.bridge.otlp import wire_fields

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ("OtlpReceiver",)

_PROTOBUF = "application/x-protobuf"
_WORDS = re.compile("hang|reset|partial:[0-9]+")
_PATHS = frozenset({"/v1/traces", "/v1/metrics", "/v1/logs"})


class OtlpReceiver:
    """Receives OTLP http/protobuf spans while its ``with`` block runs.

    ``endpoint`` is the base URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` wants it. A ``port`` other
    than 0 is for a collector that goes away and comes back at the same address.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._server: _Server | None = None
        self._endpoint = ""
        self._arrived = threading.Condition()
        self._answers: deque[int | str] = deque()
        self._requests: list[bytes] = []
        self._accepted: list[tuple[dict[str, Any], bytes]] = []

    @property
    def endpoint(self) -> str:
        """The base URL; RuntimeError before the ``with`` block."""
        if not self._endpoint:
            raise RuntimeError("an OtlpReceiver has an endpoint inside of: with OtlpReceiver() as receiver")
        return self._endpoint

    @property
    def spans(self) -> Sequence[dict[str, Any]]:
        """All accepted spans in order of arrival, a span that came twice twice.

        Keys: trace_id, span_id, parent_span_id (hex, or ""), name, kind (OTLP's number), start_ns,
        end_ns, attributes, events (name, time_ns, attributes), links (trace_id, span_id,
        attributes), status (code, message), resource (its attributes), scope (its name).
        """
        with self._arrived:
            return [span for span, _ in self._accepted]

    @property
    def span_ids(self) -> frozenset[str]:
        """The ids of all accepted spans, as hex."""
        with self._arrived:
            return frozenset(span["span_id"] for span, _ in self._accepted)

    @property
    def requests(self) -> Sequence[bytes]:
        """The decompressed bodies of all trace requests, whatever was answered."""
        with self._arrived:
            return list(self._requests)

    def span_bytes(self) -> list[tuple[str, bytes]]:
        """Return (span id as hex, the span's bytes as they came) of all accepted spans."""
        with self._arrived:
            return [(span["span_id"], raw) for span, raw in self._accepted]

    def script(self, *answers: int | str) -> None:
        """Queue answers, one per trace request: a status, "hang", "reset", or "partial:N".

        "hang" never answers, "reset" cuts the connection, "partial:3" accepts all but the last
        three spans. Raises ValueError for anything else.
        """
        for answer in answers:
            if not (200 <= answer < 600 if isinstance(answer, int) else _WORDS.fullmatch(answer)):
                raise ValueError(f'{answer!r} is not an answer: give a status, "hang", "reset" or "partial:N"')
        with self._arrived:
            self._answers.extend(answers)

    def wait_for(self, n: int, timeout: float = 10.0) -> bool:
        """Wait until ``n`` different spans are accepted; False if ``timeout`` seconds were not enough."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len({s["span_id"] for s, _ in self._accepted}) >= n, timeout)

    def __enter__(self) -> Self:
        # Loading protobuf takes a while; a first request with a short deadline should not wait for it.
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401

        self._server = _Server(self, self._port)
        self._endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _receive(self, body: bytes) -> int | str:
        # What to answer to a trace request; 400 for a body that is none.
        spans = list(_read_spans(body))
        with self._arrived:
            self._requests.append(body)
            answer = self._answers.popleft() if self._answers else 200
            if isinstance(answer, str) and answer.startswith("partial:"):
                self._accepted += spans[: max(len(spans) - int(answer[8:]), 0)]
            elif isinstance(answer, int) and answer < 300:
                self._accepted += spans
            self._arrived.notify_all()
        return answer


# ---- the server -------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them and no socket outlives a test
    allow_reuse_address = True

    def __init__(self, receiver: OtlpReceiver, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.receiver = receiver
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="otlp-receiver", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().close_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the polite FIN, which would come before a reset

    def stop(self) -> None:
        # A kept-alive connection would still be served, and an outage never be seen.
        self.shutdown()
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients come and go
            super().handle()

    def do_POST(self) -> None:
        """Take one OTLP request."""
        body = self._read_body()
        if self.path not in _PATHS or body is None:
            self._reply(404 if self.path not in _PATHS else 400)
        elif self.path != "/v1/traces":
            self._reply(200)
        else:
            try:
                answer = self.server.receiver._receive(body)  # noqa: SLF001 - its own server
            except ValueError:
                answer = 400
            self._answer(answer)

    def _read_body(self) -> bytes | None:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            self.close_connection = True
            return None
        body = self.rfile.read(int(size))
        if self.headers.get("Content-Encoding") != "gzip":
            return body
        try:
            return zlib.decompress(body, wbits=31)
        except zlib.error:
            return None

    def _answer(self, answer: int | str) -> None:
        if answer == "hang":
            self.server.stopping.wait()
            self.close_connection = True
        elif answer == "reset":
            # Lingering for no time at all makes close() send RST.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif isinstance(answer, str):
            self._reply(200, _partial_success(int(answer[8:])))
        else:
            self._reply(answer)

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", _PROTOBUF)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


# ---- reading ----------------------------------------------------------------------------


def _partial_success(rejected: int) -> bytes:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    partial = trace_service_pb2.ExportTracePartialSuccess(rejected_spans=rejected, error_message=f"{rejected} rejected")
    return bytes(trace_service_pb2.ExportTraceServiceResponse(partial_success=partial).SerializeToString())


def _read_spans(body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    # Each span as plain data and as it came; ValueError for what is no request.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    refusal = import_module("google.protobuf.message").DecodeError  # by name: the package has no types
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except refusal as error:
        raise ValueError("not an ExportTraceServiceRequest") from error
    raw = _raw_spans(body)
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _plain(span, resource, scope_spans.scope.name), next(raw)


def _raw_spans(body: bytes) -> Iterator[bytes]:
    # resource_spans = 1, in it scope_spans = 2, in it spans = 2.
    for resource_spans in _inside(body, 1):
        for scope_spans in _inside(resource_spans, 2):
            yield from _inside(scope_spans, 2)


def _inside(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in wire_fields(message) if found == number and isinstance(value, bytes))


def _plain(span: Span, resource: dict[str, Any], scope: str) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": int(span.kind),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "attributes": _attributes(link.attributes)}
            for link in span.links
        ],
        "status": {"code": int(span.status.code), "message": span.status.message},
        "resource": resource,
        "scope": scope,
    }


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
