"""A TCP proxy that breaks what passes through it, in the ways networks do.

>>> from otel_workflow.testing import FaultProxy, OtlpReceiver
>>> with OtlpReceiver() as receiver, FaultProxy(receiver.endpoint) as proxy:
...     endpoint = proxy.endpoint  # for OTEL_EXPORTER_OTLP_ENDPOINT
...     proxy.latency(0.2)         # a collector far away
...     proxy.cut()                # it dies: every connection is reset
...     proxy.pass_through()       # and is back
...     proxy.mode
'pass'

One thread moves all bytes. A change of mode holds for connections that stand and for those to
come, and is in force when the call returns.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from otel_workflow.testing.port import HOST, HeldPort

__all__ = ("Direction", "FaultProxy", "Mode")

Mode = Literal["pass", "cut", "half_close", "drip", "black_hole", "refuse", "latency", "corrupt"]
Direction = Literal["both", "to_target", "to_client"]

_CHUNK = 65536
_MOST_PENDING = 1 << 20  # bytes; beyond, a direction is not read until some have gone
_CONNECT_TIMEOUT = 5.0
_DRIP_STEP = 0.02  # seconds; faster drips go in larger drops instead


@dataclass(frozen=True, slots=True)
class _Fault:
    """What happens to bytes: the mode, its number (bytes per second, seconds, or bytes), and which way."""

    mode: Mode = "pass"
    value: float = 0.0
    direction: Direction = "both"

    def hits(self, direction: Direction) -> bool:
        return self.direction in ("both", direction)


class FaultProxy:
    """Stands before a target, ``http://host:port`` or ``host:port``, while its ``with`` block runs.

    ``endpoint`` and ``port`` are where a client finds it. ``accepted`` counts connections that were
    taken, ``open`` those that stand, ``most_open`` the most that ever stood at once. Raises
    ValueError for a target without a port.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        url = urlsplit(target if "://" in target else f"tcp://{target}")
        if not url.hostname or not url.port:
            raise ValueError(f"{target!r} is no target: give http://host:port or host:port")
        self._target = url.hostname, url.port
        self._scheme = url.scheme if "://" in target else ""
        self._port = HeldPort(port)
        self._fault = _Fault()
        self._loop: _Loop | None = None

    @property
    def port(self) -> int:
        """The port clients connect to; 0 before the ``with`` block if any was to be taken."""
        return self._port.number

    @property
    def endpoint(self) -> str:
        """The target's address with this proxy's host and port in it."""
        return f"{self._scheme}://{HOST}:{self.port}" if self._scheme else f"{HOST}:{self.port}"

    @property
    def mode(self) -> Mode:
        """What is done to connections now."""
        return self._fault.mode

    @property
    def accepted(self) -> int:
        """How many connections were taken so far."""
        return self._loop.accepted if self._loop else 0

    @property
    def open(self) -> int:
        """How many connections stand now."""
        return len(self._loop.pairs) if self._loop else 0

    @property
    def most_open(self) -> int:
        """The most connections that ever stood at once."""
        return self._loop.most_open if self._loop else 0

    # ---- modes --------------------------------------------------------------------------

    def pass_through(self) -> None:
        """Break nothing (any more)."""
        self._set(_Fault())

    def cut(self) -> None:
        """Reset every connection on both sides, and each new one as soon as it stands."""
        self._set(_Fault("cut"))

    def half_close(self) -> None:
        """End every answer: clients read end-of-file, while what they send still arrives."""
        self._set(_Fault("half_close"))

    def drip(self, bytes_per_second: float, *, direction: Direction = "both") -> None:
        """Let bytes through one after the other; ValueError for a speed of 0 or less."""
        self._set(_Fault("drip", _positive("bytes_per_second", bytes_per_second), direction))

    def black_hole(self) -> None:
        """Take connections and bytes, and pass nothing on in either direction."""
        self._set(_Fault("black_hole"))

    def refuse(self) -> None:
        """Stop listening and reset what stands, as if nobody were there."""
        self._set(_Fault("refuse"))

    def latency(self, seconds: float, *, direction: Direction = "both") -> None:
        """Let every byte arrive so much later, at full speed; ValueError for 0 or less."""
        self._set(_Fault("latency", _positive("seconds", seconds), direction))

    def corrupt(self, every_n_bytes: int, *, direction: Direction = "both") -> None:
        """Flip the bits of each n-th byte of a direction; ValueError for less than 1."""
        self._set(_Fault("corrupt", _positive("every_n_bytes", int(every_n_bytes)), direction))

    def _set(self, fault: _Fault) -> None:
        self._fault = fault
        if self._loop is not None:
            self._loop.obey(fault)

    # ---- life ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._loop = _Loop(self._target, self._port)
        self._loop.start()
        self._loop.obey(self._fault)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.stop()
        self._port.release()


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name}={value!r}: give more than 0")
    return value


# ---- moving bytes -------------------------------------------------------------------------


class _Flow:
    """One direction of one connection: what was read and may not go on yet."""

    def __init__(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        self.source, self.sink, self.direction = source, sink, direction
        self.pending: deque[tuple[float, bytes]] = deque()  # (not before, bytes)
        self.size = 0
        self.ended = self.finished = False
        self._passed = 0
        self._next_drop = 0.0

    def wants_to_read(self) -> bool:
        return not self.ended and self.size < _MOST_PENDING

    def due(self) -> float | None:
        """When the next bytes, or the end of them, may go on; None when there is nothing."""
        if self.pending:
            return max(self.pending[0][0], self._next_drop)
        return 0.0 if self.ended and not self.finished else None

    def read(self, fault: _Fault) -> None:
        chunk = self.source.recv(_CHUNK)
        if not chunk:
            self.ended = True
            return
        silent = fault.mode == "black_hole" or (fault.mode == "half_close" and self.direction == "to_client")
        if silent:
            return
        if fault.mode == "corrupt" and fault.hits(self.direction):
            chunk = self._corrupted(chunk, int(fault.value))
        self._passed += len(chunk)
        late = fault.value if fault.mode == "latency" and fault.hits(self.direction) else 0.0
        self.pending.append((time.monotonic() + late, chunk))
        self.size += len(chunk)

    def _corrupted(self, chunk: bytes, every: int) -> bytes:
        made = bytearray(chunk)
        first = every - 1 - self._passed % every
        for place in range(first, len(made), every):
            made[place] ^= 0xFF
        return bytes(made)

    def write(self, fault: _Fault, now: float) -> None:
        """Pass on what is due; at the end, say that it is the end."""
        if not self.pending:
            self.finished = True
            if fault.mode != "black_hole":
                with contextlib.suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
            return
        after, chunk = self.pending.popleft()
        drop = len(chunk)
        if fault.mode == "drip" and fault.hits(self.direction):
            drop = min(drop, max(int(fault.value * _DRIP_STEP), 1))
            self._next_drop = now + drop / fault.value
        sent = self.sink.send(chunk[:drop])
        self.size -= sent
        if sent < len(chunk):
            self.pending.appendleft((after, chunk[sent:]))

    def forget_schedule(self) -> None:
        """Let a new mode hold from now on: what a drip had put off need not wait for it."""
        self._next_drop = 0.0

    def swallow(self) -> None:
        self.pending.clear()
        self.size = 0


class _Pair:
    """A connection: the client's socket, the target's, and the two flows between them."""

    def __init__(self, client: socket.socket, target: socket.socket | None) -> None:
        self.client, self.target = client, target
        other = target or client
        up, down = _Flow(client, other, "to_target"), _Flow(other, client, "to_client")
        self.flows = (up, down) if target is not None else (up,)

    def sockets(self) -> Iterable[socket.socket]:
        return (self.client, self.target) if self.target is not None else (self.client,)

    def close(self, *, reset: bool) -> None:
        for each in self.sockets():
            if reset:  # lingering for no time at all makes close() send RST
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()


class _Loop:
    """The thread that accepts, reads and writes; told what to do through a pair of sockets."""

    def __init__(self, target: tuple[str, int], port: HeldPort) -> None:
        self._target, self._port = target, port
        self._listener: socket.socket | None = port.listen()
        self._listener.setblocking(False)
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self._orders: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._fault = _Fault()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self.pairs: list[_Pair] = []
        self.accepted = self.most_open = 0

    def start(self) -> None:
        self._thread.start()

    def obey(self, fault: _Fault) -> None:
        self._order(lambda: self._change(fault))

    def stop(self) -> None:
        self._order(self._end)
        self._thread.join()
        self._bell.close()
        self._ear.close()

    def _order(self, do: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._orders.append((do, done))
        self._bell.send(b".")
        done.result()

    def _end(self) -> None:
        self._stopped = True
        self._leave()
        self._close_all(reset=False)

    def _leave(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _close_all(self, *, reset: bool) -> None:
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.close(reset=reset)

    def _change(self, fault: _Fault) -> None:
        self._fault = fault
        if fault.mode == "refuse":
            self._leave()
            self._port.hold()
        elif self._listener is None:
            self._listener = self._port.listen()
            self._listener.setblocking(False)
        if fault.mode in ("cut", "refuse"):
            self._close_all(reset=True)
        for pair in list(self.pairs):
            if pair.target is None and fault.mode != "black_hole":
                self._close(pair, reset=True)  # what it had said is swallowed: it cannot be connected now
                continue
            for flow in pair.flows:
                flow.forget_schedule()
                if fault.mode == "black_hole":
                    flow.swallow()
            if fault.mode == "half_close":
                _end_answers(pair)

    def _run(self) -> None:
        while not self._stopped:
            self._turn()

    def _turn(self) -> None:
        now = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            wake = self._register(selector, now)
            events = selector.select(wake)
        ready: dict[object, int] = {key.fileobj: mask for key, mask in events}
        if self._ear in ready:
            self._hear()
            return  # sockets may be closed now: look again
        if self._listener is not None and self._listener in ready:
            self._accept(self._listener)
        for pair in list(self.pairs):
            self._move(pair, ready)

    def _register(self, selector: selectors.BaseSelector, now: float) -> float | None:
        """Say which sockets we wait for; returns for how long at most (s)."""
        wanted: dict[socket.socket, int] = {}
        wake: float | None = None
        for flow in (flow for pair in self.pairs for flow in pair.flows):
            if flow.wants_to_read():
                wanted[flow.source] = wanted.get(flow.source, 0) | selectors.EVENT_READ
            due = flow.due()
            if due is None:
                continue
            if due <= now:
                wanted[flow.sink] = wanted.get(flow.sink, 0) | selectors.EVENT_WRITE
            else:
                wake = min(due - now, wake if wake is not None else due - now)
        for sock, mask in wanted.items():
            selector.register(sock, mask)
        return wake

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(_CHUNK)
        while self._orders:
            do, done = self._orders.popleft()
            try:
                do()
            except OSError as error:  # the port is another's now: for whoever gave the order
                done.set_exception(error)
            else:
                done.set_result(None)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it went away before we came
        self.accepted += 1
        target: socket.socket | None = None
        if self._fault.mode not in ("cut", "black_hole"):
            try:
                target = socket.create_connection(self._target, _CONNECT_TIMEOUT)
            except OSError:
                _Pair(client, None).close(reset=True)
                return
        pair = _Pair(client, target)
        if self._fault.mode == "cut":
            pair.close(reset=True)
            return
        for each in pair.sockets():
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.append(pair)
        self.most_open = max(self.most_open, len(self.pairs))
        if self._fault.mode == "half_close":
            _end_answers(pair)

    def _move(self, pair: _Pair, ready: dict[object, int]) -> None:
        try:
            now = time.monotonic()
            for flow in pair.flows:
                due = flow.due()
                if ready.get(flow.sink, 0) & selectors.EVENT_WRITE and due is not None and due <= now:
                    flow.write(self._fault, now)
                if ready.get(flow.source, 0) & selectors.EVENT_READ and flow.wants_to_read():
                    flow.read(self._fault)
        except BlockingIOError:
            return
        except OSError:  # one side was reset: so is the other
            self._close(pair, reset=True)
            return
        if all(flow.finished for flow in pair.flows):
            self._close(pair, reset=False)

    def _close(self, pair: _Pair, *, reset: bool) -> None:
        self.pairs.remove(pair)
        pair.close(reset=reset)


def _end_answers(pair: _Pair) -> None:
    """Say end-of-file to the client, whatever the target still answers."""
    with contextlib.suppress(OSError):
        pair.client.shutdown(socket.SHUT_WR)
    down = pair.flows[-1]
    if down.direction == "to_client":
        down.swallow()
