"""The HTTP server of the daemon: OTLP in, the metrics' page and the health out.

A thread for each connection, of which there is a most; a deadline for each request; bodies read
within the limits of ``ingest.py``. What a route answers is decided in ``routes.py``.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.daemon.ingest import Body, OverloadedError, TooLargeError
from otel_workflow.bridge.daemon.tls import OwnCertificate
from otel_workflow.errors import ConfigError
from otel_workflow.version import VERSION

__all__ = ("HttpServer", "Reply", "Request", "Route")

MAX_CONNECTIONS = 128
"""Connections beyond this are closed at once; the sender tries again."""
REQUEST_SECONDS = 10.0
"""How long (s) a request may take to arrive, from its first byte."""
IDLE_SECONDS = 75.0
"""How long (s) a kept-alive connection may be silent."""
WRITE_SECONDS = 10.0
_PIECE = 64 * 1024
_LONGEST_LINE = 1024
_LINGER_SECONDS, _LINGER_BYTES = 1.0, 8 * 1024 * 1024


class _Timed(io.RawIOBase):
    """A socket's input whose every wait ends at ``deadline`` (monotonic seconds)."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = time.monotonic() + IDLE_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its headers, names in any case, and a way to read its body into a collector."""

    headers: Mapping[str, str]
    read_body: Callable[[Body], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``sent`` is called when all of it has gone out, ``close`` ends the connection."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: Callable[[], object] | None = None
    close: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path, and with which method (GET, which answers HEAD too, or POST)."""

    method: str
    answer: Callable[[Request], Reply]


class HttpServer:
    """Listens at one address from ``start`` on, with TLS when given a certificate.

    Raises ConfigError (OW-150) when the address is taken.
    """

    def __init__(
        self, address: Address, routes: Mapping[str, Route], certificate: OwnCertificate | None = None
    ) -> None:
        try:
            self._server = _Server(address, routes, certificate)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"cannot listen at {address.place}: {why}",
                code="OW-150",
                hint="stop who listens there, or name another",
            ) from error
        self.address = Address(address.protocol, address.host, self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="otel-workflow-http", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Take no more connections, let requests that have begun end, and close everything."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join(timeout)
        self._server.close(timeout)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: Address, routes: Mapping[str, Route], certificate: OwnCertificate | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self.routes = routes
        self.stopping = False
        self._certificate = certificate
        self._changed = threading.Condition()
        self._open: dict[socket.socket, bool] = {}
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the name service who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its handshake is its own thread's affair, so that nobody waits for it here."""
        connection, address = super().get_request()
        if self._certificate is None:
            return connection, address
        try:
            context = self._certificate.context()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
        except (OSError, ValueError) as error:  # it is gone already, or spoke before the handshake
            connection.close()
            raise OSError("no connection") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            full = len(self._open) >= MAX_CONNECTIONS
            if not full:
                self._open[request] = False
        if full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()
        super().shutdown_request(request)

    def busy(self, request: socket.socket, is_busy: bool) -> None:
        """Note whether a connection is in the middle of a request."""
        with self._changed:
            if request in self._open:
                self._open[request] = is_busy
                self._changed.notify_all()

    def close(self, timeout: float) -> None:
        """Wait for what has begun, then cut all connections."""
        self.stopping = True
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: not any(self._open.values()), timeout)
            for connection in self._open:
                with suppress(OSError):
                    # The plain one: TLS would take its state from under the thread that reads.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, 1.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients come and go."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"otel-workflow/{VERSION}"
    sys_version = ""
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        if hasattr(self.request, "do_handshake"):
            self.request.settimeout(REQUEST_SECONDS)
            self.request.do_handshake()
        self._timed = _Timed(self.request)
        super().setup()
        self.rfile = io.BufferedReader(self._timed, _PIECE)

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def handle_one_request(self) -> None:
        self._timed.deadline = time.monotonic() + IDLE_SECONDS
        if self.server.stopping or not self.rfile.peek(1):  # type: ignore[attr-defined]
            self.close_connection = True
            return
        self.server.busy(self.request, True)
        self._timed.deadline = time.monotonic() + REQUEST_SECONDS
        super().handle_one_request()
        self.server.busy(self.request, False)

    def __getattr__(self, name: str) -> Any:
        """Answer every method in one place; the library looks for ``do_GET`` and the like."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return lambda: self._route(name.removeprefix("do_"))

    def _route(self, method: str) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            self._reply(Reply(404, b"nothing is here; see /\n", close=method not in ("GET", "HEAD")))
        elif route.method != ("GET" if method == "HEAD" else method):
            allow = "GET, HEAD" if route.method == "GET" else route.method
            self._reply(
                Reply(405, f"use {allow}\n".encode(), headers={"Allow": allow}, close=method not in ("GET", "HEAD"))
            )
        else:
            self._reply(self._answer(route))

    def _answer(self, route: Route) -> Reply:
        try:
            return route.answer(Request(self.headers, self._read_body))  # type: ignore[arg-type]
        except TooLargeError as error:
            return Reply(413, f"{error}\n".encode(), close=True)
        except OverloadedError:
            return Reply(503, b"busy\n", headers={"Retry-After": "1"}, close=True)
        except ValueError as error:
            return Reply(400, f"{error}\n".encode(), close=True)
        except TimeoutError:
            return Reply(408, b"the request took too long\n", close=True)

    # -- bodies -------------------------------------------------------------------------------

    def _read_body(self, into: Body) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._read_chunks(into)
            return
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdigit()):
            raise ValueError("a body needs a Content-Length")
        into.expect(int(size[:20]))
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_piece(into, int(size))

    def _read_chunks(self, into: Body) -> None:
        while True:
            size = int(self.rfile.readline(_LONGEST_LINE).partition(b";")[0].strip() or b"x", 16)
            if size <= 0:
                break
            self._read_piece(into, size)
            if self.rfile.readline(_LONGEST_LINE).strip():
                raise ValueError("a chunk is longer than it says")
        while self.rfile.readline(_LONGEST_LINE).strip():
            pass

    def _read_piece(self, into: Body, size: int) -> None:
        while size > 0:
            data = self.rfile.read(min(size, _PIECE))
            if not data:
                raise ValueError("the body ends before it should")
            size -= len(data)
            into.feed(data)

    # -- answers ------------------------------------------------------------------------------

    def _reply(self, reply: Reply) -> None:
        self.request.settimeout(WRITE_SECONDS)
        self.close_connection = self.close_connection or reply.close or self.server.stopping
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
            if reply.sent is not None:
                reply.sent()

    def finish(self) -> None:
        """Close gently: bytes that were not read would make the kernel cut the answer off, too."""
        with suppress(OSError):
            super().finish()
            self._say_goodbye()
            self.request.shutdown(socket.SHUT_WR)
            end, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
            while left > 0 and (seconds := end - time.monotonic()) > 0:
                self.request.settimeout(seconds)
                data = self.request.recv(_PIECE)
                if not data:
                    break
                left -= len(data)

    def _say_goodbye(self) -> None:
        """Let a client of TLS know that this is the end and not somebody who cuts the line."""
        if hasattr(self.request, "unwrap"):
            with suppress(OSError, ValueError):
                self.request.settimeout(_LINGER_SECONDS)
                self.request.unwrap()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
