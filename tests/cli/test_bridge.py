"""``otel-workflow bridge``: it says where it listens, drains at the end, and tells how that went."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.destination import Destination
from otel_workflow.testing import OtlpReceiver
from tests.bridge.authority import Authority, make_authority
from tests.bridge.daemon.making import health, numbers, post, run_span, runs, traces, until
from tests.cli.conftest import Cli


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def bridge(ow: Cli, *words: str, **extra: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running daemon and what it said when it was ready."""
    child = ow.start("bridge", "--state", str(ow.home / "state"), *words, **extra)
    try:
        assert child.stderr is not None
        yield child, child.stderr.readline()
    finally:
        child.kill()
        child.communicate()


def place(ready: str, protocol: str = "http") -> Address:
    found = re.search(rf"{protocol}://127\.0\.0\.1:(\d+)", ready)
    assert found, ready
    return Address("http", "127.0.0.1", int(found[1]))


def ended(child: subprocess.Popen[str], *signals: signal.Signals) -> tuple[int, str]:
    for number in signals:
        child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert "Traceback" not in err
    return child.returncode, err


PAGE = ("--metrics", "127.0.0.1:0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_counts_what_is_in_the_journal_and_ends_with_0(ow: Cli, number: signal.Signals) -> None:
    ow.record()
    with bridge(ow, *PAGE) as (child, ready):
        assert ready.startswith("otel-workflow bridge is ready: ")
        assert str(ow.journal) in ready
        until(lambda: runs(numbers(place(ready))) == 1)
        assert (0, "") == ended(child, number)


def test_a_run_that_is_killed_while_it_watches_is_an_error(ow: Cli, killed_worker: Callable[[], None]) -> None:
    with bridge(ow, *PAGE) as (_, ready):
        assert "not there yet" in ready
        killed_worker()
        until(lambda: runs(numbers(place(ready)), "error") == 1)


def test_it_ships_the_journal_while_it_runs(ow: Cli, receiver: OtlpReceiver) -> None:
    with bridge(ow, *PAGE, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as (child, ready):
        ow.record()
        assert receiver.wait_for(3)
        until(lambda: health(place(ready))["last_success"] is not None)
        assert 0 == ended(child, signal.SIGTERM)[0]


def test_with_a_backlog_it_ends_with_3_and_says_so(ow: Cli) -> None:
    ow.record()
    with bridge(ow, *PAGE, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as (child, ready):
        until(lambda: health(place(ready))["backlog"] == 3)
        code, said = ended(child, signal.SIGTERM)
    assert (3, True) == (code, "backlog of 3 spans" in said)


def test_a_second_signal_ends_it_at_once(ow: Cli) -> None:
    """A collector that never answers would be waited for."""
    ow.record()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with bridge(ow, *PAGE, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as (child, ready):
            until(lambda: health(place(ready))["backlog"] == 3)
            assert 3 == ended(child, signal.SIGTERM, signal.SIGTERM)[0]


def test_a_taken_address_or_state_ends_it_with_1(ow: Cli) -> None:
    with bridge(ow, *PAGE) as (_, ready):
        taken = place(ready).place
        second = ow("bridge", "--state", str(ow.home / "other"), "--metrics", taken)
        assert (1, True) == (second.returncode, "OW-150" in second.stderr)
        third = ow("bridge", "--state", str(ow.home / "state"))
        assert (1, True) == (third.returncode, "OW-140" in third.stderr)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--listen", "4318"), "OW-151"),
        (("--listen", "http://0.0.0.0:0"), "OW-152"),
        (("--forward",), "OW-153"),
        (("--push",), "OW-153"),
        (("--token-file", "/nonexistent"), "OW-155"),
        (("--listen", "https://127.0.0.1:0"), "OW-157"),
        (("--metrics", "https://127.0.0.1:0", "--tls-cert", "/nonexistent"), "OW-157"),
        (("--metrics", "https://127.0.0.1:0", "--tls-key", "/nonexistent"), "OW-157"),
        (("--lost-after", "soon"), "OW-122"),
        (("--nonsense",), "OW-120"),
    ],
)
def test_wrong_words_end_it_with_2_and_one_line(ow: Cli, words: tuple[str, ...], code: str) -> None:
    done = ow("bridge", "--state", str(ow.home / "state"), *words)
    assert (2, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert code in done.stderr


def test_it_takes_otlp_with_a_token(ow: Cli) -> None:
    (ow.home / "token").write_text("0123456789abcdef\n")
    words = ("--listen", "http://127.0.0.1:0", "--listen", "grpc://127.0.0.1:0", "--token-file", str(ow.home / "token"))
    with bridge(ow, *words) as (child, ready):
        where = place(ready)
        assert 401 == post(where, traces(run_span(7)))[0]
        assert 200 == post(where, traces(run_span(7)), Authorization="Bearer 0123456789abcdef")[0]
        assert place(ready, "grpc").port
        assert 0 == ended(child, signal.SIGTERM)[0]


def test_it_takes_otlp_over_tls_and_a_stranger_who_knocks_is_not_logged(ow: Cli, pem: Authority) -> None:
    words = ("--listen", "grpcs://127.0.0.1:0", "--metrics", "https://127.0.0.1:0", "--tls-cert", pem("good.pem"))
    with bridge(ow, *words, OW_TLS_KEY=pem("key.pem"), OW_TLS_CLIENT_CA=pem("ca.pem")) as (child, ready):
        port = place(ready, "grpcs").port
        for known in ({}, {"client_certificate": pem("good.pem"), "client_key": pem("key.pem")}):
            where = Destination(f"https://localhost:{port}", protocol="grpc", certificate=pem("ca.pem"), **known)
            client = client_for(where)
            answer = client.send(traces(run_span(7)), deadline=time.monotonic() + 20)
            client.close()
            assert ("accepted" if known else "unreachable") == answer.kind
        assert place(ready, "https").port
        assert (0, "") == ended(child, signal.SIGTERM)


def test_the_page_follows_the_standard_variables_only_if_they_are_set(ow: Cli) -> None:
    with bridge(ow) as (_, ready):
        assert "listens at" not in ready
    with bridge(ow, OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1", OTEL_EXPORTER_PROMETHEUS_PORT="0") as (_, ready):
        assert json.dumps(health(place(ready)))
