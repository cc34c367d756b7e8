"""The gRPC server of the daemon: OTLP's two services, with the bytes of a message as they are.

``grpcio`` is loaded when a ``grpc://`` address was given, and only then. Its own limit refuses a
message above ``MAX_WIRE``, decompressed or not, before it is in our hands.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.daemon.ingest import MAX_WIRE, Ingest, OverloadedError, Taken, TooLargeError
from otel_workflow.bridge.daemon.routes import VIA, is_allowed, partial_success
from otel_workflow.bridge.daemon.tls import OwnCertificate
from otel_workflow.bridge.grpc import grpc_library
from otel_workflow.bridge.shown import one_line
from otel_workflow.errors import ConfigError

__all__ = ("GrpcServer",)

_THREADS = 16
_MOST_AT_ONCE = 64
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_WIRE),
    ("grpc.max_send_message_length", 64 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.so_reuseport", 0),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class GrpcServer:
    """Listens at one address from ``start`` on, with TLS when given a certificate.

    Raises ConfigError (OW-150) when the address is taken.
    """

    def __init__(
        self, address: Address, ingest: Ingest, token: bytes, certificate: OwnCertificate | None = None
    ) -> None:
        grpc = _grpc()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="otel-workflow-grpc")
        self._server = grpc.server(self._pool, options=_OPTIONS, maximum_concurrent_rpcs=_MOST_AT_ONCE)
        self._server.add_generic_rpc_handlers((_handlers(grpc, ingest, token),))
        try:
            port = (
                self._server.add_insecure_port(address.place)
                if certificate is None
                else self._server.add_secure_port(address.place, _credentials(grpc, certificate))
            )
        except RuntimeError:
            port = 0
        if not port:
            self._pool.shutdown(wait=False)
            raise ConfigError(
                f"cannot listen at {address.place}", code="OW-150", hint="stop who listens there, or name another"
            )
        self.address = Address(address.protocol, address.host, port)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self, timeout: float) -> None:
        """Take no more calls and let those that have begun end."""
        self._server.stop(timeout).wait(timeout + 1.0)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _grpc() -> Any:
    try:
        return grpc_library()  # which also keeps its words on each failed handshake off our stderr
    except ImportError as error:
        raise ConfigError(
            "--listen grpc:// and grpcs:// need grpcio, which is not installed",
            code="OW-151",
            hint="pip install grpcio",
        ) from error


def _credentials(grpc: Any, certificate: OwnCertificate) -> Any:
    """Return credentials that ask for the certificate anew with each connection; TLS 1.2 is gRPC's own least."""
    shown = certificate.pem()

    def configured() -> Any:
        return grpc.ssl_server_certificate_configuration([(shown.key, shown.certificate)], shown.client_ca)

    def renewed() -> Any:
        nonlocal shown
        found = certificate.pem()
        if found is shown:
            return None  # as before
        shown = found
        return configured()

    return grpc.dynamic_ssl_server_credentials(configured(), renewed, certificate.wants_clients)


def _handlers(grpc: Any, ingest: Ingest, token: bytes) -> Any:
    """Return the generic handlers; requests and answers stay bytes."""

    def method(kind: Literal["traces", "logs"]) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: _export(grpc, ingest, kind, token, body, context),
            request_deserializer=None,
            response_serializer=None,
        )

    known = {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export": method("traces"),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export": method("logs"),
    }

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: Any) -> Any:
            return known.get(call.method)

    return Handlers()


def _export(
    grpc: Any, ingest: Ingest, kind: Literal["traces", "logs"], token: bytes, message: bytes, context: Any
) -> bytes:
    metadata = {key.lower(): value for key, value in context.invocation_metadata() if isinstance(value, str)}
    if not is_allowed(token, metadata.get("authorization", "")):
        ingest.refuse("no token")
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is wanted")
    try:
        with ingest.body(gzip=False) as body:
            body.feed(message)
            taken = ingest.take(kind, body.finish(), metadata.get(VIA, ""))
    except TooLargeError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except OverloadedError:
        ingest.refuse("overloaded")
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
    if taken.refusal is not None:
        context.abort(_code(grpc, taken), one_line(taken.message))
    return partial_success(taken)


def _code(grpc: Any, taken: Taken) -> Any:
    """Return the status: UNAVAILABLE is what OTLP senders retry."""
    refused: dict[str, Callable[[], Any]] = {
        "malformed": lambda: grpc.StatusCode.INVALID_ARGUMENT,
        "too large": lambda: grpc.StatusCode.INVALID_ARGUMENT,
        "loop": lambda: grpc.StatusCode.FAILED_PRECONDITION,
    }
    return refused.get(taken.refusal or "", lambda: grpc.StatusCode.UNAVAILABLE)()
