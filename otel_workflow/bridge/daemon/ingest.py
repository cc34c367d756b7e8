"""Takes OTLP requests, whichever protocol carried them: limits, meaning, and the answer.

The answer is *yes* only after the facts are committed (and, with forwarding, the spans are in our
own journal): a sender that hears anything else keeps its data and sends it again, which counts once.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from otel_workflow.bridge.daemon.counting import Counting
from otel_workflow.bridge.daemon.heard import Heard, HeardSpan, hear_logs, hear_traces

__all__ = (
    "MAX_DECODED",
    "MAX_WIRE",
    "Body",
    "Forwarding",
    "Ingest",
    "OverloadedError",
    "Refusal",
    "Taken",
    "TooLargeError",
)

MAX_WIRE = 4 * 1024 * 1024
"""Most bytes of a request as it is sent."""
MAX_DECODED = 16 * 1024 * 1024
"""Most bytes of a request after decompression."""
MAX_RATIO = 100
"""Most times that decompression may grow a request, once it is above a megabyte."""
MAX_AT_ONCE = 64 * 1024 * 1024
"""Most decoded bytes of all requests together that are being read and waited for."""
_FREE = 1024 * 1024
_PIECE = 64 * 1024
_PATIENCE = 8.0
_RETRY_AFTER = 1

Refusal = Literal["malformed", "too large", "overloaded", "not stored", "loop"]


class TooLargeError(ValueError):
    """A request is larger than we read."""


class OverloadedError(RuntimeError):
    """So much is being read already that this request has to come later."""


class _Budget:
    """How many decoded bytes are in memory, over all connections."""

    def __init__(self, most: int) -> None:
        self._left, self._lock = most, threading.Lock()

    def take(self, count: int) -> None:
        with self._lock:
            if count > self._left:
                raise OverloadedError
            self._left -= count

    def give(self, count: int) -> None:
        with self._lock:
            self._left += count


class Body:
    """Collects a request's body as it arrives and decompresses it on the way, within the limits.

    ``feed`` raises TooLargeError at the first byte too many, ValueError for what is no gzip and
    OverloadedError when all connections together hold too much. Use it in a ``with`` block, which
    gives the memory back.
    """

    def __init__(self, budget: _Budget, *, gzip: bool) -> None:
        self._budget = budget
        self._zip = zlib.decompressobj(wbits=31) if gzip else None
        self._parts = bytearray()
        self._wire = 0
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._budget.give(self._taken)
        self._parts = bytearray()

    def expect(self, size: int) -> None:
        """Refuse a body that says beforehand that it is too large."""
        if size > MAX_WIRE:
            raise TooLargeError(f"more than {MAX_WIRE} bytes")

    def feed(self, data: bytes) -> None:
        """Take the next piece as it came over the wire."""
        self._wire += len(data)
        if self._wire > MAX_WIRE:
            raise TooLargeError(f"more than {MAX_WIRE} bytes")
        if self._zip is None:
            self._add(data)
            return
        try:
            while data and not self._zip.eof:
                self._add(self._zip.decompress(data, _PIECE))
                data = self._zip.unconsumed_tail
        except zlib.error as error:
            raise ValueError(f"the body is no gzip: {error}") from error

    def _add(self, data: bytes) -> None:
        size = len(self._parts) + len(data)
        if size > MAX_DECODED or (size > _FREE and size > MAX_RATIO * self._wire):
            raise TooLargeError(f"more than {MAX_DECODED} bytes decompressed, or {MAX_RATIO} times what was sent")
        self._budget.take(len(data))
        self._taken += len(data)
        self._parts += data

    def finish(self) -> bytes:
        """Return the whole body; ValueError when its compression has no end."""
        while self._zip is not None and not self._zip.eof:
            rest = self._zip.decompress(b"", _PIECE)  # what did not fit into the last piece
            if not rest:
                raise ValueError("the body's gzip stream is cut off")
            self._add(rest)
        return bytes(self._parts)


class Forwarding(Protocol):
    """Keeps heard spans for the normal shipper."""

    def keep(self, spans: list[HeardSpan]) -> int | None:
        """Write spans; how many were refused for good, or None when the disk does not take them now."""
        ...

    def is_ours(self, via: str) -> bool:
        """True for a request that has been here before."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer: taken (``refusal`` None) with ``rejected`` items that made no sense, or why not."""

    refusal: Refusal | None = None
    message: str = ""
    rejected: int = 0
    retry_after: int | None = None


class Ingest:
    """Reads requests into facts and waits until they are on disk."""

    def __init__(self, counting: Counting, forwarding: Forwarding | None = None) -> None:
        self._counting, self._forwarding = counting, forwarding
        self._budget = _Budget(MAX_AT_ONCE)

    def body(self, *, gzip: bool) -> Body:
        """Return a collector for one request's body."""
        return Body(self._budget, gzip=gzip)

    def take(self, kind: Literal["traces", "logs"], body: bytes, via: str = "") -> Taken:
        """Take one request of a kind; ``via`` is the header that names the daemons it came through."""
        taken = self._take(kind, body, via)
        if taken.refusal is not None:
            self.refuse(taken.refusal)
        return taken

    def refuse(self, reason: str) -> None:
        """Count a request that is not taken."""
        self._counting.refused(reason.replace(" ", "_"))

    def _take(self, kind: Literal["traces", "logs"], body: bytes, via: str) -> Taken:
        forwarding = self._forwarding
        if forwarding is not None and via and forwarding.is_ours(via):
            return Taken("loop", "this daemon has sent this request itself: it would go round for ever")
        read: Callable[[], Heard] = (
            (lambda: hear_traces(body, keep_spans=forwarding is not None))
            if kind == "traces"
            else lambda: hear_logs(body)
        )
        try:
            heard = read()
        except ValueError as error:
            return Taken("malformed", f"not an OTLP request for {kind}: {error}")
        refused = 0
        if forwarding is not None and heard.spans:
            kept = forwarding.keep(heard.spans)
            if kept is None:
                return Taken("not stored", "the journal of what was heard cannot be written", 0, _RETRY_AFTER)
            refused, heard.spans = kept, []
        return self._commit(heard, refused)

    def _commit(self, heard: Heard, refused: int) -> Taken:
        rejected = heard.rejected + refused
        said = "no span, or one too large" if rejected else ""
        ticket = self._counting.submit(heard)
        if not heard.counts:  # at most a sign of life: nothing to be sure of
            return Taken(None, said, rejected)
        if ticket is None:
            return Taken("overloaded", "too many requests wait already", 0, _RETRY_AFTER)
        if not ticket.wait(_PATIENCE):
            return Taken("not stored", self._counting.trouble or "not stored in time", 0, _RETRY_AFTER)
        return Taken(None, said, rejected)
