"""The fault proxy: what each mode does to bytes on their way, old connections and new ones."""

from __future__ import annotations

import doctest
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from otel_workflow.testing import FaultProxy, OtlpReceiver
from tests.servers.web import until
from tests.testing.sending import body, client_of, send, span

BIG = bytes(range(256)) * 4096  # 1 MiB


class Echo:
    """Sends back what it gets; at end-of-file says ``bye`` and ends too."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = bytearray()
        self.errors: list[str] = []
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._accept)
        self._main.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closing:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65536):
                    self.heard += chunk
                    connection.sendall(chunk)
                connection.sendall(b"bye")
            except OSError as error:
                self.errors.append(type(error).__name__)

    def close(self) -> None:
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._main.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(f"127.0.0.1:{echo.port}") as made:
        yield made


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as made:
        yield made


def _read(client: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (chunk := client.recv(size - len(got))):
        got += chunk
    return bytes(got)


def _said(client: socket.socket, what: bytes) -> bytes:
    sender = threading.Thread(target=client.sendall, args=(what,))
    sender.start()
    try:
        return _read(client, len(what))
    finally:
        sender.join()


def test_pass_changes_nothing_and_passes_on_each_end(proxy: FaultProxy, client: socket.socket) -> None:
    assert BIG == _said(client, BIG)
    client.shutdown(socket.SHUT_WR)
    assert b"bye" == _read(client, 4)
    assert (1, "pass") == (proxy.accepted, proxy.mode)
    assert until(lambda: proxy.open == 0, timeout=10)


def test_cut_resets_both_sides_and_each_new_connection(proxy: FaultProxy, client: socket.socket, echo: Echo) -> None:
    assert b"a" == _said(client, b"a")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert until(lambda: echo.errors == ["ConnectionResetError"], timeout=10)
    with pytest.raises(ConnectionResetError):  # or while it connects, if the reset is quick
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as second:
            second.recv(1)
    assert (2, 0) == (proxy.accepted, proxy.open)


def test_half_close_ends_answers_while_requests_arrive(proxy: FaultProxy, client: socket.socket, echo: Echo) -> None:
    assert b"a" == _said(client, b"a")
    proxy.half_close()
    client.sendall(b"more")
    assert b"" == client.recv(1)
    assert until(lambda: bytes(echo.heard) == b"amore", timeout=10)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as second:
        second.sendall(b"new")
        assert b"" == second.recv(1)
    assert until(lambda: bytes(echo.heard) == b"amorenew", timeout=10)


def test_black_hole_takes_and_gives_nothing(proxy: FaultProxy, client: socket.socket, echo: Echo) -> None:
    assert b"a" == _said(client, b"a")
    proxy.black_hole()
    client.sendall(BIG)  # is taken
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.1) as second:
        second.sendall(b"new")
        with pytest.raises(TimeoutError):
            second.recv(1)
        assert 2 == proxy.most_open
        proxy.pass_through()
        client.settimeout(10)
        assert b"b" == _said(client, b"b")  # as a cable that is back
        with pytest.raises(ConnectionResetError):  # the target never heard of this one
            second.settimeout(10)
            second.recv(1)
    assert b"ab" == bytes(echo.heard)


def test_refuse_is_as_if_nobody_were_there_until_it_ends(proxy: FaultProxy, client: socket.socket) -> None:
    port = proxy.port
    assert b"a" == _said(client, b"a")
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    proxy.pass_through()
    assert port == proxy.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as second:
        assert b"b" == _said(second, b"b")


def test_drip_lets_through_so_many_bytes_a_second(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.drip(100, direction="to_client")
    before = time.monotonic()
    assert bytes(30) == _said(client, bytes(30))
    assert time.monotonic() - before >= 0.25
    proxy.drip(0.01)
    client.sendall(b"xy")
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        _read(client, 2)
    proxy.pass_through()  # and what it had put off comes at once
    client.settimeout(10)
    assert len(_read(client, 1)) == 1


def test_latency_delays_and_does_not_slow_down(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.latency(0.2, direction="to_target")
    before = time.monotonic()
    assert BIG == _said(client, BIG)  # many chunks, one delay
    assert 0.2 <= time.monotonic() - before < 3
    client.shutdown(socket.SHUT_WR)
    assert b"bye" == _read(client, 4)


@pytest.mark.parametrize("every", [1, 7, 100_000])
def test_corrupt_flips_each_nth_byte(proxy: FaultProxy, client: socket.socket, echo: Echo, every: int) -> None:
    proxy.corrupt(every, direction="to_target")
    expected = bytearray(BIG)
    for place in range(every - 1, len(expected), every):
        expected[place] ^= 0xFF
    assert bytes(expected) == _said(client, BIG)
    assert expected == echo.heard


def test_a_target_that_is_gone_resets_the_client() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with FaultProxy(f"127.0.0.1:{taken.getsockname()[1]}") as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_a_mode_chosen_before_the_block_holds_in_it(echo: Echo) -> None:
    proxy = FaultProxy(f"127.0.0.1:{echo.port}")
    proxy.refuse()
    with proxy, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def test_spans_pass_it_and_its_endpoint_is_the_targets_with_another_port() -> None:
    with OtlpReceiver() as receiver, FaultProxy(receiver.endpoint) as proxy, client_of(proxy.endpoint) as client:
        assert f"http://127.0.0.1:{proxy.port}" == proxy.endpoint
        assert "accepted" == send(client, body(span(1))).kind
        proxy.cut()
        assert "unreachable" == send(client, body(span(2))).kind
        proxy.pass_through()
        assert "accepted" == send(client, body(span(2))).kind
        assert ["phase 1", "phase 2"] == [each["name"] for each in receiver.spans]


def test_at_the_end_no_thread_and_no_connection_stays(echo: Echo) -> None:
    before = set(threading.enumerate())
    with FaultProxy(f"127.0.0.1:{echo.port}") as proxy:
        port = proxy.port
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        assert b"a" == _said(client, b"a")
    assert before >= {thread for thread in threading.enumerate() if thread.name == "fault-proxy"}
    assert b"" == client.recv(1)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize("target", ["", "127.0.0.1", "http://host", ":80"])
def test_a_target_without_host_or_port_is_an_error(target: str) -> None:
    with pytest.raises(ValueError, match="no target"):
        FaultProxy(target)


@pytest.mark.parametrize(
    "ask",
    [
        lambda proxy: proxy.drip(0),
        lambda proxy: proxy.latency(-1),
        lambda proxy: proxy.latency(float("nan")),
        lambda proxy: proxy.corrupt(0),
    ],
)
def test_an_impossible_mode_is_an_error_and_changes_nothing(ask: Callable[[FaultProxy], None]) -> None:
    proxy = FaultProxy("127.0.0.1:1")
    with pytest.raises(ValueError, match="more than 0"):
        ask(proxy)
    assert "pass" == proxy.mode


def test_the_example_in_its_documentation_runs() -> None:
    module = importlib.import_module("otel_workflow.testing.fault_proxy")
    assert (0, 2) == doctest.testmod(module)
