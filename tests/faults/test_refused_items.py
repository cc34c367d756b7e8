"""Rows: 4xx, 413 and partial success: one bad item costs one item, and the books say so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.endtoend.processes import Program, clean_environment
from tests.endtoend.shipping import command, ship
from tests.faults.conftest import PHASES, SPANS, Line

POISONED = {
    "the first": {0},
    "the last": {PHASES - 1},
    "one in the middle": {23},
    "neighbours": {10, 11},
    "several": {0, 7, 31, 49},
    "all": set(range(PHASES)),
}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("which", POISONED)
def test_4xx_is_bisected_to_the_bad_spans_and_the_rest_is_sent(
    which: str, status: int, receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    bad = POISONED[which]
    receiver.refuse(lambda span: span["attributes"].get("number") in bad, status)
    line = line_to(receiver.endpoint)
    assert line.ship()
    books = line.shipper.books
    assert (SPANS - len(bad), len(bad)) == (books.delivered, books.refused)
    assert {f"{status}": len(bad)} == books.reasons
    checked = receiver.check_identity(journal, dropped=books.reasons)
    assert (SPANS - len(bad), 0) == (checked.delivered, checked.again)
    assert len(receiver.received) <= 1 + 2 * len(bad) * SPANS.bit_length()


def test_4xx_leaves_nothing_to_refuse_again(receiver: OtlpReceiver, line_to: Callable[[str], Line]) -> None:
    receiver.refuse(lambda span: span["attributes"].get("number") == 3)
    first = line_to(receiver.endpoint)
    assert first.ship()
    first.release()
    asked = len(receiver.received)
    assert line_to(receiver.endpoint).ship()
    assert asked == len(receiver.received)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_4xx_that_is_about_the_sender_and_not_the_spans_loses_none(
    status: int, receiver: OtlpReceiver, line_to: Callable[[str], Line], journal: Path
) -> None:
    receiver.script(status)
    line = line_to(receiver.endpoint)
    assert not line.ship()
    assert f"{SPANS} emitted = 0 delivered + {SPANS} spooled + 0 dropped" == str(receiver.check_identity(journal))
    line.clock.ahead = 60
    assert line.ship()
    assert SPANS == receiver.check_identity(journal).delivered


@pytest.mark.parametrize("most", [1500, 5000, 20000])
def test_413_splits_until_it_fits(most: int, line_to: Callable[[str], Line], journal: Path) -> None:
    with OtlpReceiver(max_request_bytes=most) as receiver:
        line = line_to(receiver.endpoint)
        assert line.ship()
        assert f"{SPANS} emitted = {SPANS} delivered + 0 spooled + 0 dropped" == str(receiver.check_identity(journal))
        taken = [each for each in receiver.received if each.reply.status == 200]
        assert max(len(each.body) for each in taken) <= most


def test_413_for_one_huge_span_trims_it_and_flags_it(tmp_path: Path) -> None:
    """Row: 413, gRPC 4 MiB, one huge span: its largest attributes go first."""
    with Program("steady", "huge", OW_JOURNAL=str(tmp_path)) as program:
        assert 0 == program.finish().code
    with OtlpReceiver(max_request_bytes=50_000) as receiver:
        ship(tmp_path, receiver.endpoint)
        assert {"RUN steady", "huge"} == {span["name"] for span in receiver.spans}


def test_partial_success_is_not_retried_and_is_shown(receiver: OtlpReceiver, journal: Path) -> None:
    receiver.script("partial:3")
    env = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    asked = [*command(journal), "--strict"]
    done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert 1 == done.returncode
    assert "3 spans refused for good by " in done.stderr
    assert done.stderr.endswith(": 3 x 3 rejected\n"), done.stderr
    books = receiver.check_identity(journal, dropped={"partial success": 3})
    assert (SPANS - 3, 0) == (books.delivered, books.spooled)
    again = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (0, 1) == (again.returncode, len(receiver.received))
