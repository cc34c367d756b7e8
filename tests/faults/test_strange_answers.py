"""Rows: 3xx, captive portal HTML 200, wrong content type; hang, slow-loris response, response bomb."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_workflow.testing import FaultProxy, OtlpReceiver, Reply
from tests.endtoend.processes import clean_environment
from tests.endtoend.shipping import command, copied
from tests.faults.conftest import SPANS, Line

NO_SUCCESS = {
    **{f"3xx: {status}": Reply.redirect(status=status) for status in (301, 302, 303, 307, 308)},
    "3xx without a target": Reply(307),
    "captive portal HTML 200": "portal",
    "wrong content type": Reply(body=b"ok", content_type="text/plain"),
    "no content type": Reply(body=b"ok", content_type=""),
    "JSON that is a list": Reply(body=b"[]", content_type="application/json"),
    "an encoding nobody knows": Reply(body=b"ok", headers={"Content-Encoding": "zstd"}, takes=False),
    "hang": "hang",
    "hang before a success": Reply(after=60),
    "slow-loris response": "drip",
    "response bomb": "bomb",
    "reset": "reset",
    "reset after it took everything": Reply(manner="reset", takes=True),
}


@pytest.mark.parametrize("answer", NO_SUCCESS)
def test_what_is_no_answer_of_otlp_is_a_failure_and_loses_nothing(
    answer: str, receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    receiver.script(NO_SUCCESS[answer])
    line = line_to(receiver.endpoint)
    assert not line.ship(within=0.5)
    last = line.shipper.books.last
    assert last is not None
    assert ("unreachable", 0, 1) == (last.kind, line.shipper.books.delivered, line.shipper.books.failures)
    assert last.message
    line.clock.ahead = 60
    assert line.ship()
    assert SPANS == receiver.check_identity(journal).delivered


BROKEN: dict[str, Callable[[FaultProxy], None]] = {
    "cut": FaultProxy.cut,
    "half-close": FaultProxy.half_close,
    "black hole": FaultProxy.black_hole,
    "refuse": FaultProxy.refuse,
    "slow-drip": lambda proxy: proxy.drip(5),
    "latency beyond the deadline": lambda proxy: proxy.latency(60),
    "answers corrupted": lambda proxy: proxy.corrupt(2, direction="to_client"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_network_is_a_failure_and_loses_nothing(
    fault: str, receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    with FaultProxy(receiver.endpoint) as proxy:
        BROKEN[fault](proxy)
        line = line_to(proxy.endpoint)
        assert not line.ship(within=0.5)
        assert (0, 1) == (line.shipper.books.delivered, line.shipper.books.failures)
        proxy.pass_through()
        line.clock.ahead = 60
        assert line.ship()
        assert SPANS == receiver.check_identity(journal).delivered


def _memory(journal: Path, endpoint: str) -> int:
    """Ship with the command, and return the most memory it had (bytes)."""
    env = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    process = os.posix_spawn(
        sys.executable, command(journal), env, file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(process, 0)
    assert 0 == status
    return usage.ru_maxrss * 1024


def test_a_response_bomb_costs_a_process_a_bounded_amount_of_memory(
    receiver: OtlpReceiver, recorded: Path, tmp_path: Path
) -> None:
    healthy = _memory(copied(recorded, tmp_path / "healthy"), receiver.endpoint)
    receiver.script("bomb")
    bombed = _memory(copied(recorded, tmp_path / "bombed"), receiver.endpoint)
    assert bombed - healthy < 24 << 20  # of 64 MiB that it unpacks to


def test_a_captive_portal_is_named_to_who_ships(receiver: OtlpReceiver, journal: Path) -> None:
    receiver.script("portal")
    env = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    done = subprocess.run(command(journal), env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "captive portal" in done.stderr
    assert SPANS == receiver.check_identity(journal).spooled
