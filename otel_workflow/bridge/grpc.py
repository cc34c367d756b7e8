"""OTLP over gRPC: one call with a deadline for everything, on a channel that can be given up at any moment.

``grpcio`` is loaded with the first connection. Its channel never repeats a call by itself: what is
sent again, and when, is for the shipper to decide. Names are resolved here and certificate files
read here, so that trouble with them has the same deadline and the same words as over HTTP.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
import time
import weakref
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from otel_workflow.bridge.addresses import Addresses, Resolver, left_until
from otel_workflow.bridge.answer import USER_AGENT, Answer
from otel_workflow.bridge.certificates import CUT_OFF, WANTS_CERTIFICATE, read_pem_files, stamp_of
from otel_workflow.bridge.destination import Destination, basic
from otel_workflow.bridge.grpc_answer import CANCELLED, DEADLINE_EXCEEDED, MAX_ANSWER, UNAVAILABLE, interpret_grpc
from otel_workflow.bridge.shown import one_line
from otel_workflow.bridge.suppressed import suppressed

__all__ = ("OtlpGrpcClient", "grpc_library")

_EXPORT = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_CHECK = "/grpc.health.v1.Health/Check"
_COMPRESS_FROM = 1024  # bytes, as over HTTP
_OURS = frozenset({"content-type", "host", "te", "user-agent"})
_LAST_THREADS = 0.25
"""How long a fork may wait for the threads of a closed channel, in seconds; the program may have some of its own."""
_THREAD = ("grpc", "event_engine", "lifeguard")
"""How the names of the library's threads begin."""
_NOBODY = (CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE)

_open: weakref.WeakSet[OtlpGrpcClient] = weakref.WeakSet()
"""The clients of this process that have a channel: its threads last as long as any of them."""
_inherited: list[object] = []
"""Channels of a parent process: their threads are not here, so that even closing them could hang."""


class OtlpGrpcClient:
    """One channel to a destination; not for several threads at once, but for ``interrupt`` and ``close``.

    The channel is opened anew after every failure to reach the peer, and when a certificate file
    has changed. ``OTEL_EXPORTER_OTLP_TIMEOUT`` may shorten a deadline, never lengthen it.
    """

    def __init__(self, destination: Destination, signal: Literal["traces", "logs"] = "traces") -> None:
        self._destination = destination
        self._export = _EXPORT[signal]
        self._url = urlsplit(destination.url)
        self._resolver = Resolver()
        self._lock = threading.Lock()
        self._channel: Any = None
        self._stamp: object = None
        self._interrupted = False
        self._pid = os.getpid()
        self._metadata = self._constant_metadata()

    def connect(self, deadline: float) -> bool:
        """Open the channel ahead of the first request; False if nobody answered by then.

        Asks for the server's health, a call that every gRPC server answers in one way or another:
        a channel by itself would need a thread to be waited for.
        """
        status = self._call(_CHECK, b"", deadline).status
        return status is not None and status not in _NOBODY

    def send(self, body: bytes, *, deadline: float) -> Answer:
        """Export one request and return what became of it, by ``deadline`` (``time.monotonic``) at the latest."""
        deadline = min(deadline, time.monotonic() + self._destination.timeout)
        return self._call(self._export, body, deadline)

    def interrupt(self) -> None:
        """Let what another thread does in ``connect`` or ``send`` fail now; may be called at any time."""
        self._interrupted = True
        self._resolver.interrupt()
        self.close()

    def before_fork(self) -> None:
        """Close the channel and see its threads end: they would not be in the child, but their locks could.

        The library ends them a few ms after the call, and its own handler for forks may wait for
        ever for one that is just ending (seen with grpcio 1.85). Of several clients the last one waits.
        """
        if self._channel is None or self._pid != os.getpid():
            return
        self.close()
        end = time.monotonic() + _LAST_THREADS
        while not _open and _has_threads() and time.monotonic() < end:
            time.sleep(0.001)

    def close(self) -> None:
        """Close the channel; the next ``send`` opens another."""
        with self._lock:
            channel, self._channel = self._channel, None
            _open.discard(self)
        if channel is None:
            return
        if self._pid != os.getpid():
            _inherited.append(channel)
        else:
            channel.close()

    def _constant_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        made: dict[str, str | bytes] = {}
        if self._url.username is not None:
            made["authorization"] = basic(self._url)
        for name, value in self._destination.headers:
            if name not in _OURS and not name.startswith("grpc-"):
                made[name] = value.encode() if name.endswith("-bin") else value
        return tuple(made.items())

    def _call(self, method: str, body: bytes, deadline: float) -> Answer:
        begun = time.monotonic()
        try:
            grpc = grpc_library()
        except ImportError as error:
            return Answer("unreachable", message=f"grpcio cannot be loaded: {one_line(str(error))}")
        deadline += time.monotonic() - begun  # what loading it took says nothing of the peer
        self._interrupted = False
        large = len(body) > _COMPRESS_FROM and self._destination.compression == "gzip"
        try:
            with suppressed():
                response, call = self._method(grpc, method, deadline).with_call(
                    body,
                    timeout=left_until(deadline),
                    metadata=self._metadata,
                    compression=grpc.Compression.Gzip if large else grpc.Compression.NoCompression,
                )
            return interpret_grpc(0, "", call.trailing_metadata() or (), response)
        except grpc.RpcError as error:
            return self._failed(error, timed_out=time.monotonic() >= deadline)
        except (OSError, ValueError) as error:  # ValueError: closed by another thread between two steps
            self.close()
            return Answer("unreachable", message="interrupted" if self._interrupted else _reason_of(error))

    def _method(self, grpc: Any, method: str, deadline: float) -> Any:
        if self._pid != os.getpid():
            self.close()
            self._pid, self._lock = os.getpid(), threading.Lock()
        stamp = stamp_of(self._destination) if self._url.scheme == "https" else ()
        if stamp != self._stamp:
            self.close()
        channel = self._channel
        if channel is None:
            channel = self._open(grpc, deadline)
            self._stamp = stamp
            with self._lock:
                self._channel = channel
                _open.add(self)
        if self._interrupted:
            raise InterruptedError("interrupted")
        return channel.unary_unary(method)

    def _open(self, grpc: Any, deadline: float) -> Any:
        host, port = self._url.hostname or "", self._url.port or 4317
        authority = self._url.netloc.rpartition("@")[2]
        options: list[tuple[str, Any]] = [
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", MAX_ANSWER),
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.default_authority", authority),
            ("grpc.enable_http_proxy", 1 if self._destination.proxy else 0),
        ]
        if self._destination.proxy:
            options.append(("grpc.http_proxy", self._destination.proxy))
            target = f"dns:///{authority}"
        else:
            target = _target_of(self._resolver.look_up(host, port, deadline))
        if self._url.scheme == "http":
            return grpc.insecure_channel(target, options=options)
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(*read_pem_files(self._destination)), options)

    def _failed(self, error: Any, *, timed_out: bool) -> Answer:
        status, details = int(error.code().value[0]), str(error.details() or "")
        if self._interrupted and status == CANCELLED:
            self.close()
            return Answer("unreachable", message="interrupted")
        if status == DEADLINE_EXCEEDED and timed_out:
            self.close()
            return Answer("unreachable", message="no answer before the deadline")
        if status == UNAVAILABLE and _LOCAL.match(details):
            self.close()
            nameless = self._url.scheme == "https" and not self._destination.client_certificate
            return Answer("unreachable", message=_reason(details, nameless=nameless))
        return interpret_grpc(status, details, error.trailing_metadata() or ())


def grpc_library() -> Any:
    """Load grpcio, told to keep its own log off our program's stderr unless somebody wants to see it."""
    quiet = "grpc" not in sys.modules and "GRPC_VERBOSITY" not in os.environ
    if quiet:
        os.environ["GRPC_VERBOSITY"] = "NONE"  # read once, when the library is loaded
    try:
        return import_module("grpc")  # by name: the package has no types
    finally:
        if quiet:
            os.environ.pop("GRPC_VERBOSITY", None)


def _has_threads() -> bool:
    """Return True while threads of the library run in this process; False where that cannot be seen (not Linux)."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return False
    for task in tasks:
        with contextlib.suppress(OSError):  # it has just ended
            if (task / "comm").read_text().startswith(_THREAD):
                return True
    return False


def _target_of(addresses: Addresses) -> str:
    """Return gRPC's name for these addresses; where both families are among them, IPv4 in IPv6 notation."""
    plain = list(dict.fromkeys(address[4][:2] for address in addresses))
    if all(":" not in host for host, _ in plain):
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in plain)
    mapped = ((host if ":" in host else f"::ffff:{host}", port) for host, port in plain)
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in mapped)


_LOCAL = re.compile(r"failed to connect to all addresses|Socket closed|recvmsg:|Connection reset|ipv[46]:\S+: ")
"""How our own side's words begin, of a connection that could not be made or was cut."""
_REASONS = (
    ("Connection refused", "connection refused"),
    ("Hostname Verification Check", "certificate: it is not for this host name"),
    ("security handshaker", "the certificate files cannot be used: they hold no certificate or key in PEM"),
    ("CERTIFICATE_REQUIRED", WANTS_CERTIFICATE),
    ("HTTP/2", "the peer does not speak gRPC (is it the port of OTLP over HTTP?)"),
)
_CUT = ("Socket closed", "Connection reset", "Unwrap failed")


def _reason(details: str, *, nameless: bool) -> str:
    """Say in our words why there is no connection; ``nameless``: over TLS, without a client certificate."""
    said = details.rpartition("last error: ")[2]
    _, failed, why = said.partition("CERTIFICATE_VERIFY_FAILED:")
    if failed:
        return f"certificate: {one_line(why.removesuffix(': OK'))}"
    reason = next((reason for word, reason in _REASONS if word in said), "")
    if not reason and nameless and any(word in said for word in _CUT):
        return CUT_OFF
    return reason or one_line(said) or "no connection"


def _reason_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer before the deadline"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    return one_line(getattr(error, "strerror", None) or str(error)) or type(error).__name__
