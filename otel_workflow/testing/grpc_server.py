"""The gRPC side of an ``OtlpReceiver``: the three export services, without generated code.

grpcio is loaded when a receiver with this protocol starts, not with this module. A request may
have 4 MiB, gRPC's own default and a collector's.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from otel_workflow.testing.http_server import Take
from otel_workflow.testing.port import HOST, HeldPort
from otel_workflow.testing.received import Signal, partial_success
from otel_workflow.testing.reply import PROTOBUF, Reply

__all__ = ("GrpcServer",)

_SERVICES: dict[Signal, str] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
_BOMB_BYTES = 8 << 20
_LOOK_PAUSE = 0.05
_THREADS = 8


class GrpcServer:
    """Serves OTLP over gRPC at a port until it is stopped; OSError when another program has the port."""

    def __init__(self, take: Take, port: HeldPort) -> None:
        self._grpc = import_module("grpc")  # by name: the package has no types
        self._take = take
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="otlp-receiver")
        # Two servers at one port would share the connections between them.
        self._server = self._grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        for signal, service in _SERVICES.items():
            self._server.add_generic_rpc_handlers([self._handler(signal, service)])
        port.release()
        try:
            bound = self._server.add_insecure_port(f"{HOST}:{port.number}")
        except RuntimeError as error:
            bound, reason = 0, str(error)
        else:
            reason = "not bound"
        if not bound:
            self._pool.shutdown()
            raise OSError(f"port {port.number} cannot be listened at: {reason}")
        port.number = bound
        self._server.start()

    def stop(self) -> None:
        """Close the port and all connections, hanging ones too."""
        self._stopping.set()
        self._server.stop(0).wait()
        self._pool.shutdown()

    def _handler(self, signal: Signal, service: str) -> Any:
        def export(body: bytes, context: Any) -> bytes:
            return self._export(signal, f"/{service}/Export", body, context)

        method = self._grpc.unary_unary_rpc_method_handler(export)
        return self._grpc.method_handlers_generic_handler(service, {"Export": method})

    def _export(self, signal: Signal, path: str, body: bytes, context: Any) -> bytes:
        headers = {
            str(key): value if isinstance(value, str) else value.hex() for key, value in context.invocation_metadata()
        }
        try:
            reply = self._take(signal, path, headers, body, body)
        except ValueError as error:
            reply = Reply("INVALID_ARGUMENT", body=str(error).encode())
        if reply.after:
            self._wait(context, reply.after)
        if reply.manner in ("hang", "drip"):
            self._wait(context, float("inf"))
        return self._answer(signal, reply, context)

    def _wait(self, context: Any, seconds: float) -> None:
        """Wait, but neither for a client that has gone nor beyond our own end."""
        while seconds > 0 and context.is_active() and not self._stopping.wait(min(_LOOK_PAUSE, seconds)):
            seconds -= _LOOK_PAUSE

    def _answer(self, signal: Signal, reply: Reply, context: Any) -> bytes:
        trailers: list[tuple[str, str | bytes]] = [(name.lower(), value) for name, value in reply.headers.items()]
        code, said = reply.grpc_code, (reply.body or b"").decode(errors="replace")
        if reply.manner in ("hang", "drip", "reset"):
            code, said = "UNAVAILABLE", "the connection ends here"
        elif code == "OK" and reply.content_type != PROTOBUF:
            code, said = "UNKNOWN", f"answered with {reply.content_type}"
        if code == "OK":
            context.set_trailing_metadata(trailers)
            if reply.manner == "bomb":
                return bytes(_BOMB_BYTES)
            return partial_success(signal, reply.rejected) if reply.body is None else reply.body
        if isinstance(reply.retry_after, int | float):
            trailers.append(("grpc-status-details-bin", self._retry_info(code, said, reply.retry_after)))
        context.set_trailing_metadata(trailers)
        return bytes(context.abort(getattr(self._grpc.StatusCode, code), said))  # abort raises

    def _retry_info(self, code: str, said: str, seconds: float) -> bytes:
        details = import_module("google.rpc.error_details_pb2")
        info = details.RetryInfo()
        info.retry_delay.FromNanoseconds(round(seconds * 1e9))
        number = getattr(self._grpc.StatusCode, code).value[0]
        status = import_module("google.rpc.status_pb2").Status(code=number, message=said)
        status.details.add().Pack(info)
        return bytes(status.SerializeToString())
