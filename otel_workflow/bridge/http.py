"""OTLP over HTTP: one request with a deadline for everything.

::

    destination = Destination.from_environ(os.environ)
    client = OtlpHttpClient(destination)
    answer = client.send(body, deadline=time.monotonic() + 2.0)

Every wait, be it for a name, a connection, a handshake, a slow sender or a slow reader, ends at
the deadline, and no trouble on the way raises: it is an ``Answer``. ``http.client`` (and the
``ssl`` it brings) is loaded with the first connection, not with this module.
"""

from __future__ import annotations

import io
import os
import socket
import time
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from otel_workflow.bridge.addresses import Resolver, left_until
from otel_workflow.bridge.answer import PROTOBUF, USER_AGENT, Answer, interpret
from otel_workflow.bridge.certificates import CUT_OFF, WANTS_CERTIFICATE, stamp_of, tls_context
from otel_workflow.bridge.destination import Destination, basic
from otel_workflow.bridge.shown import one_line
from otel_workflow.bridge.suppressed import suppressed

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse

__all__ = ("MAX_ANSWER", "OtlpHttpClient")

MAX_ANSWER = 4 << 20
"""How many bytes of an answer are read, before and after decompression."""

_COMPRESS_FROM = 1024  # bytes; below that gzip saves less than a packet
_CHUNK = 65536
_OURS = frozenset({"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"})


class _Wire:
    """A socket in the shape ``http.client`` asks for, whose every step ends at one deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def arm(self) -> None:
        self.sock.settimeout(left_until(self.deadline))

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.arm()
            rest = rest[self.sock.send(rest[:_CHUNK]) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_WireReader(self))  # the socket stays open until this is closed too

    def close(self) -> None:
        self.sock.close()


class _WireReader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._raw = wire.sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wire.arm()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class OtlpHttpClient:
    """One kept-alive connection to a destination; not for several threads at once.

    After a fork the child opens its own connection. ``OTEL_EXPORTER_OTLP_TIMEOUT`` may shorten a
    deadline, never lengthen it.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._url = urlsplit(destination.url)
        self._proxy = urlsplit(destination.proxy) if destination.proxy else None
        self._connection: HTTPConnection | None = None
        self._wire: _Wire | None = None
        self._resolver = Resolver()
        self._socket: socket.socket | None = None
        self._interrupted = False
        self._context: ssl.SSLContext | None = None
        self._stamp: object = None
        self._pid = os.getpid()
        self._headers = self._constant_headers()

    def connect(self, deadline: float) -> bool:
        """Open the connection ahead of the first request; False if that did not work by then."""
        from http.client import HTTPException

        self._interrupted = False
        with suppressed(), suppress(OSError, HTTPException):
            self._connected(deadline)
            return True
        self.close()
        return False

    def send(self, body: bytes, *, deadline: float) -> Answer:
        """Post one request and return what became of it, by ``deadline`` (``time.monotonic``) at the latest."""
        from http.client import HTTPException

        self._interrupted = False
        deadline = min(deadline, time.monotonic() + self._destination.timeout)
        try:
            with suppressed():
                response = self._post(body, deadline)
                answer = _read_answer(response)
        except (OSError, HTTPException) as error:
            self.close()
            return Answer("unreachable", message=self._why(error))
        if response.will_close or not response.isclosed():  # an unread rest would be taken for the next answer
            response.close()
            self.close()
        return answer

    def _why(self, error: Exception) -> str:
        if self._interrupted:
            return "interrupted"
        nameless = self._url.scheme == "https" and not self._destination.client_certificate
        if nameless and (isinstance(error, ConnectionError) or type(error).__name__ == "SSLEOFError"):
            return _reason(error) if isinstance(error, ConnectionRefusedError) else CUT_OFF
        return _reason(error)

    def interrupt(self) -> None:
        """Let what another thread does in ``connect`` or ``send`` fail now; may be called at any time."""
        self._interrupted = True
        self._resolver.interrupt()
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # the plain one: TLS must not say goodbye first

    def before_fork(self) -> None:
        """Do nothing: a forked child does not use the connection, and its copy does not disturb ours."""

    def close(self) -> None:
        """Close the connection; the next ``send`` opens another."""
        self._socket = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _constant_headers(self) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {"user-agent": USER_AGENT}
        if self._url.username is not None:
            headers["authorization"] = basic(self._url)
        for name, value in self._destination.headers:
            if name not in _OURS:  # those that frame the request
                headers[name] = value.encode()
        headers["host"] = self._url.netloc.rpartition("@")[2]
        headers["content-type"] = PROTOBUF
        if self._proxy and self._url.scheme == "http" and self._proxy.username is not None:
            headers["proxy-authorization"] = basic(self._proxy)
        return headers

    def _post(self, body: bytes, deadline: float) -> HTTPResponse:
        headers = self._headers
        if self._destination.compression == "gzip" and len(body) > _COMPRESS_FROM:
            body = zlib.compress(body, 1, wbits=31)  # level 1: level 9 takes six times as long for 14 % less
            headers = {**headers, "content-encoding": "gzip"}
        reused = self._connection is not None
        try:
            return self._request(body, headers, deadline)
        except OSError as error:
            if not reused or isinstance(error, TimeoutError) or self._interrupted:
                raise
            # A kept-alive connection that the server had closed meanwhile: that says nothing yet.
            self.close()
            return self._request(body, headers, deadline)

    def _request(self, body: bytes, headers: Mapping[str, str | bytes], deadline: float) -> HTTPResponse:
        connection = self._connected(deadline)
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        if self._proxy and self._url.scheme == "http":
            path = f"http://{self._url.netloc.rpartition('@')[2]}{path}"
        # A server may answer (413) before it has read everything, and close.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body, headers)
        return connection.getresponse()

    def _connected(self, deadline: float) -> HTTPConnection:
        from http.client import HTTPConnection

        if self._pid != os.getpid():  # forked: the connection is the parent's, here is only a copy of it
            self.close()
            self._pid = os.getpid()
        if self._connection is None or self._wire is None:
            self._wire = self._open(deadline)
            self._connection = HTTPConnection(self._url.hostname or "", self._url.port or 80)
            self._connection.auto_open = 0  # it would open one without a deadline
            self._connection.sock = self._wire
        self._wire.deadline = deadline
        return self._connection

    def _open(self, deadline: float) -> _Wire:
        gate = self._proxy or self._url
        sock = self._dial(gate.hostname or "", gate.port or (443 if gate.scheme == "https" else 80), deadline)
        wire = _Wire(sock, deadline)
        with ExitStack() as on_failure:
            on_failure.callback(wire.close)
            if self._url.scheme == "https":
                if self._proxy:
                    _open_tunnel(wire, self._url, self._proxy)
                wire.arm()
                secure = self._tls().wrap_socket(
                    sock, server_hostname=self._url.hostname, do_handshake_on_connect=False
                )
                wire.sock = self._socket = secure  # known before the handshake, so that it can be interrupted
                secure.do_handshake()
            on_failure.pop_all()
        return wire

    def _dial(self, host: str, port: int, deadline: float) -> socket.socket:
        addresses = self._resolver.look_up(host, port, deadline)
        failure: OSError = OSError("no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            if self._interrupted:
                break
            sock = self._socket = socket.socket(family, kind, protocol)
            try:
                # One dead address of several must not use up the time of all.
                sock.settimeout(left_until(deadline) / (len(addresses) - place))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def _tls(self) -> ssl.SSLContext:
        stamp = stamp_of(self._destination)
        if self._context is None or stamp != self._stamp:
            self._context, self._stamp = tls_context(self._destination), stamp
        return self._context


def _open_tunnel(wire: _Wire, url: SplitResult, proxy: SplitResult) -> None:
    from http.client import HTTPResponse

    authority = url.netloc.rpartition("@")[2] + ("" if url.port else ":443")
    request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if proxy.username is not None:
        request += f"Proxy-Authorization: {basic(proxy)}\r\n"
    wire.sendall(f"{request}\r\n".encode())
    with HTTPResponse(wire, method="CONNECT") as response:  # type: ignore[arg-type]
        response.begin()
        if not 200 <= response.status < 300:
            raise OSError(f"the proxy answered {response.status}")


def _read_answer(response: HTTPResponse) -> Answer:
    from http.client import HTTPException

    try:
        body = _read_body(response)
    except (OSError, HTTPException):
        if 200 <= response.status < 300:
            raise
        body = None  # the status has said it all
    return interpret(response.status, dict(response.headers.items()), body)


def _read_body(response: HTTPResponse) -> bytes | None:
    from http.client import IncompleteRead

    chunks, size = [], 0
    while chunk := response.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER:
            return None
    if response.length:
        raise IncompleteRead(b"", response.length)
    body = b"".join(chunks)
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding == "gzip" and body:
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_ANSWER + 1)
        except zlib.error:
            return None
    return body if len(body) <= MAX_ANSWER and encoding in ("identity", "gzip") else None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer before the deadline"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError):
        return _tls_reason(error) or one_line(error.strerror or str(error)) or type(error).__name__
    return f"broken HTTP: {one_line(str(error)) or type(error).__name__}"


def _tls_reason(error: OSError) -> str:
    said = getattr(error, "verify_message", "")  # of a certificate that does not verify
    if said:
        return f"certificate: {one_line(said)}"
    if "CERTIFICATE_REQUIRED" in str(getattr(error, "reason", "")):
        return WANTS_CERTIFICATE
    return ""
