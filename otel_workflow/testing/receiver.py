"""A small OTLP collector for tests: a real server on a port of this machine, and the oracle beside it.

::

    with OtlpReceiver() as receiver:
        receiver.script(503, "hang", Reply(200, after=0.2))
        ...  # send to receiver.endpoint
        assert receiver.wait_for(3, timeout=5)
        assert receiver.spans[0]["name"] == "compile"
        receiver.check_identity(journal)  # emitted = delivered + spooled + dropped

What it was told to answer it answers once per request, in that order; after that it accepts
everything. What came with a request it did not accept is in ``received`` and nowhere else.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from otel_workflow.testing.books import Balance, balance, journal_books
from otel_workflow.testing.grpc_server import GrpcServer
from otel_workflow.testing.http_server import HttpServer
from otel_workflow.testing.port import HeldPort
from otel_workflow.testing.received import SIGNALS, Item, Received, Signal, read_items
from otel_workflow.testing.reply import Reply, reply_of

if TYPE_CHECKING:
    from otel_workflow.runtime import Runtime

__all__ = ("OtlpReceiver",)

Protocol = Literal["http/protobuf", "grpc"]


class OtlpReceiver:
    """Receives OTLP spans, metrics and logs while its ``with`` block runs.

    ``protocol`` is what ``OTEL_EXPORTER_OTLP_PROTOCOL`` would say. Inside of the block ``stop()``
    and ``start()`` are an outage: the port refuses, kept connections are closed, and what was
    received stays. A ``port`` other than 0 is for a collector at a known address. A request whose
    decompressed body has more than ``max_request_bytes`` is answered 413, whatever the script says.
    """

    def __init__(
        self, *, port: int = 0, protocol: Protocol = "http/protobuf", max_request_bytes: int | None = None
    ) -> None:
        if protocol not in ("http/protobuf", "grpc"):
            raise ValueError(f"protocol={protocol!r} is none of ours: give http/protobuf or grpc")
        self._protocol = protocol
        self._max_request_bytes = max_request_bytes
        self._refusals: list[tuple[Signal, Callable[[dict[str, Any]], bool], Reply]] = []
        self._port = HeldPort(port)
        self._server: HttpServer | GrpcServer | None = None
        self._endpoint = ""
        self._arrived = threading.Condition()
        self._scripts: dict[Signal, deque[Reply]] = {signal: deque() for signal in SIGNALS}
        self._received: list[Received] = []
        self._accepted: dict[Signal, list[Item]] = {signal: [] for signal in SIGNALS}
        self._ids: set[str] = set()

    @property
    def endpoint(self) -> str:
        """The base URL, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` wants it; RuntimeError before the ``with`` block."""
        if not self._endpoint:
            raise RuntimeError("an OtlpReceiver has an endpoint inside of: with OtlpReceiver() as receiver")
        return self._endpoint

    @property
    def port(self) -> int:
        """The port's number; 0 before the ``with`` block if any was to be taken."""
        return self._port.number

    # ---- what came ----------------------------------------------------------------------

    @property
    def spans(self) -> Sequence[dict[str, Any]]:
        """All accepted spans in order of arrival, a span that came twice twice.

        Keys: trace_id, span_id, parent_span_id (hex, or ""), name, kind (OTLP's number), start_ns,
        end_ns, attributes, events (name, time_ns, attributes), links (trace_id, span_id,
        attributes), status (code, message), resource (its attributes), scope (its name).
        """
        return self._items("traces")

    @property
    def metrics(self) -> Sequence[dict[str, Any]]:
        """All accepted metrics in order of arrival, one entry for each time a metric came.

        Keys: name, description, unit, kind ("sum", "gauge", "histogram", ...), temporality
        ("delta", "cumulative" or ""), monotonic, resource, scope, and points: attributes,
        start_ns, time_ns, and value, or count, sum, min, max, bounds and buckets; exemplars.
        """
        return self._items("metrics")

    @property
    def logs(self) -> Sequence[dict[str, Any]]:
        """All accepted log records in order of arrival.

        Keys: time_ns, observed_ns, severity (OTLP's number), severity_text, event_name, body,
        attributes, trace_id, span_id (hex, or ""), resource, scope.
        """
        return self._items("logs")

    def _items(self, signal: Signal) -> list[dict[str, Any]]:
        with self._arrived:
            return [item for item, _ in self._accepted[signal]]

    @property
    def span_ids(self) -> frozenset[str]:
        """The ids of all accepted spans, as hex."""
        with self._arrived:
            return frozenset(self._ids)

    @property
    def received(self) -> Sequence[Received]:
        """All requests of all signals, whatever was answered: headers, bytes as they came, the answer."""
        with self._arrived:
            return list(self._received)

    @property
    def requests(self) -> Sequence[bytes]:
        """The decompressed bodies of all trace requests, whatever was answered."""
        return [each.body for each in self.received if each.signal == "traces"]

    def span_bytes(self) -> list[tuple[str, bytes]]:
        """Return (span id as hex, the span's bytes as they came) of all accepted spans."""
        with self._arrived:
            return [(span["span_id"], raw) for span, raw in self._accepted["traces"]]

    def wait_for(self, n: int, timeout: float = 10.0) -> bool:
        """Wait until ``n`` different spans are accepted; False if ``timeout`` seconds were not enough."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self._ids) >= n, timeout)

    def wait_for_requests(self, n: int, timeout: float = 10.0) -> bool:
        """Wait until ``n`` requests have come, whatever was answered; False if that took longer (s)."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self._received) >= n, timeout)

    # ---- what to answer -----------------------------------------------------------------

    def script(self, *answers: int | str | Reply, signal: Signal = "traces") -> None:
        """Queue answers, one per request of a signal: statuses, words, or a ``Reply``.

        The words: "hang" never answers, "reset" cuts the connection, "drip" and "bomb" answer
        without end, "portal" is a login page, "redirect" a 307, "partial:3" accepts all but the
        last three items, "UNAVAILABLE" and its like are gRPC's codes. Raises ValueError for
        anything else.
        """
        replies = [reply_of(answer) for answer in answers]
        with self._arrived:
            self._scripts[signal].extend(replies)

    def refuse(
        self, when: Callable[[dict[str, Any]], bool], answer: int | str | Reply = 400, *, signal: Signal = "traces"
    ) -> None:
        """Answer so to every request that brings an item for which ``when`` is true: a poisoned one.

        ``when`` is given one span, metric or log record as it would stand in ``spans``, ``metrics``
        or ``logs``. Such a request uses up no answer of the script. Raises ValueError as ``script``.
        """
        reply = reply_of(answer)
        with self._arrived:
            self._refusals.append((signal, when, reply))

    # ---- whether that is all ------------------------------------------------------------

    def check_delivery(
        self,
        expected_ids: Iterable[str],
        *,
        spooled: Collection[str] = (),
        dropped: Mapping[str, int] | None = None,
        outside: Collection[str] = (),
    ) -> Balance:
        """Assert that emitted = delivered + spooled + dropped, and that nothing came in two versions.

        ``expected_ids`` are the ids (hex) of all spans that were emitted; ``spooled`` those known to
        wait still; ``dropped`` how many were given up, by reason. Parents may be among these, and
        among ``outside``, made by somebody else. Returns the books; raises AssertionError that says
        in words what is missing, unknown, different or without its parent.
        """
        with self._arrived:
            delivered = list(self._accepted["traces"])
        return balance(delivered, set(expected_ids), set(spooled), dict(dropped or {}), set(outside))

    def check_identity(
        self,
        journal: str | os.PathLike[str] | Runtime,
        *,
        dropped: Mapping[str, int] | None = None,
        outside: Collection[str] = (),
    ) -> Balance:
        """Assert the same of everything a journal holds: a directory, or a runtime's.

        What was emitted is read off the journal's records, sent and unsent, without the code that
        makes spans of them. Phases that are still open in a living process are not emitted yet.
        Raises ValueError for a runtime whose journal is in memory.
        """
        place = journal if isinstance(journal, str | os.PathLike) else journal.journal
        if place is None:
            raise ValueError("a journal in memory cannot be checked: configure(journal=...) a directory")
        spans = self.spans
        books = journal_books(place, spans)
        return self.check_delivery(
            books.emitted,
            spooled=books.spooled,
            dropped=dropped,
            outside={*outside, *books.open},
        )

    # ---- life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Listen, at the same port as before if there was one; nothing if it listens already."""
        if self._server is not None:
            return
        # Loading protobuf takes a while; a first request with a short deadline should not wait for it.
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401

        self._server = (HttpServer if self._protocol == "http/protobuf" else GrpcServer)(self._take, self._port)
        self._endpoint = f"http://127.0.0.1:{self._port.number}"

    def stop(self) -> None:
        """Refuse connections and close those that stand, as a collector that died; ``start`` ends it."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
            self._port.hold()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._port.release()

    def _take(self, signal: Signal, path: str, headers: Mapping[str, str], raw: bytes, body: bytes) -> Reply:
        """Keep a request and say what to answer; ValueError for a body that is none."""
        items = read_items(signal, body)
        with self._arrived:
            reply = self._reply(signal, items, len(body))
            self._received.append(Received(signal, path, headers, raw, body, reply))
            if reply.keeps:
                kept = items[: max(len(items) - reply.rejected, 0)]
                self._accepted[signal] += kept
                if signal == "traces":
                    self._ids.update(span["span_id"] for span, _ in kept)
            self._arrived.notify_all()
        return reply

    def _reply(self, signal: Signal, items: list[Item], size: int) -> Reply:
        if self._max_request_bytes is not None and size > self._max_request_bytes:
            return Reply(413)
        for of, when, reply in self._refusals:
            if of == signal and any(when(item) for item, _ in items):
                return reply
        script = self._scripts[signal]
        return script.popleft() if script else Reply()
