"""The HTTP side of an ``OtlpReceiver``: real connections, and everything a bad server can do to one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otel_workflow.testing.port import HeldPort
from otel_workflow.testing.received import SIGNALS, Signal, partial_success
from otel_workflow.testing.reply import Reply

__all__ = ("HttpServer", "Take")

Take = Callable[[Signal, str, Mapping[str, str], bytes, bytes], Reply]
"""What a request does: (signal, path, headers, bytes as they came, the same decompressed) to its answer."""

BOMB_BYTES = 64 << 20
_PATHS: dict[str, Signal] = {f"/v1/{signal}": signal for signal in SIGNALS}
_DRIP_PAUSE = 0.1


class HttpServer:
    """Serves OTLP http/protobuf at a port until it is stopped; ``take`` raises ValueError for what is no OTLP."""

    def __init__(self, take: Take, port: HeldPort) -> None:
        self._server = _Server(take, port.listen())
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections, kept-alive and hanging ones too."""
        self._server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them and no socket outlives a test

    def __init__(self, take: Take, listener: socket.socket) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.take = take
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
        raw = self._read()
        signal = _PATHS.get(self.path)
        body = _decompressed(raw, self.headers.get("Content-Encoding"))
        if signal is None or raw is None or body is None:
            self._answer("traces", Reply(404 if signal is None else 400))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = self.server.take(signal, self.path, headers, raw, body)
        except ValueError:
            reply = Reply(400)
        if reply.after and self.server.stopping.wait(reply.after):
            self.close_connection = True
        else:
            self._answer(signal, reply)

    def _read(self) -> bytes | None:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            self.close_connection = True
            return None
        return self.rfile.read(int(size))

    def _answer(self, signal: Signal, reply: Reply) -> None:
        match reply.manner:
            case "hang":
                self.server.stopping.wait()
                self.close_connection = True
            case "reset":
                # Lingering for no time at all makes close() send RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
            case "drip":
                self._drip(reply)
            case "bomb":
                self._send(reply, _bomb(), {"Content-Encoding": "gzip"})
            case _:
                body = reply.body
                if body is None:
                    body = partial_success(signal, reply.rejected) if reply.http_status < 300 else b""
                self._send(reply, body, {})

    def _send(self, reply: Reply, body: bytes, more: Mapping[str, str]) -> None:
        self.send_response(reply.http_status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        if reply.retry_after is not None:
            self.send_header("Retry-After", str(reply.retry_after))
        for name, value in {**reply.headers, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, reply: Reply) -> None:
        self.close_connection = True
        self.wfile.write(f"HTTP/1.1 {reply.http_status} \r\nX-Drip: ".encode())
        while not self.server.stopping.wait(_DRIP_PAUSE):
            self.wfile.write(b".")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def _decompressed(raw: bytes | None, encoding: str | None) -> bytes | None:
    if raw is None or encoding != "gzip":
        return raw
    try:
        return zlib.decompress(raw, wbits=31)
    except zlib.error:
        return None


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join([*(packer.compress(zeros) for _ in range(BOMB_BYTES >> 20)), packer.flush()])
