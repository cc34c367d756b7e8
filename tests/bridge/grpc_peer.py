"""A gRPC server of this process that answers exports as it was told to, and keeps what came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Self

from otel_workflow.testing.received import read_items

grpc: Any = import_module("grpc")  # by name: the package has no types

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
Reply = Callable[[bytes, Any], bytes]


def status(code: str, details: str = "", *trailers: tuple[str, bytes]) -> Reply:
    """A reply that fails the call."""

    def reply(body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(getattr(grpc.StatusCode, code), details)
        raise AssertionError

    return reply


class GrpcPeer:
    """Answers each export with the next reply of the script, then with ``judge``, by default: accepted."""

    def __init__(self, port: int = 0, credentials: Any = None, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.requests: list[bytes] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.judge: Reply = lambda body, context: b""
        self._replies: deque[Reply] = deque()
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool, options=options)
        self._server.add_generic_rpc_handlers((_Handler(self),))
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.stopping = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans of all requests, whatever was answered."""
        return [span for body in self.requests for span, _ in read_items("traces", body)]

    def script(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    def hang(self, body: bytes, context: Any) -> bytes:
        """A reply that never comes."""
        self.stopping.wait(30)
        return b""

    def answer(self, body: bytes, context: Any) -> bytes:
        self.requests.append(body)
        self.metadata.append(dict(context.invocation_metadata()))
        reply = self._replies.popleft() if self._replies else self.judge
        return reply(body, context)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.stop(0).wait(10)
        self._pool.shutdown()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, peer: GrpcPeer) -> None:
        self._peer = peer

    def service(self, details: Any) -> Any:
        if details.method != EXPORT:
            return None  # unimplemented, as with every server that has no health service
        return grpc.unary_unary_rpc_method_handler(self._peer.answer)
