"""Rows: collector down at start, for a while, flapping; exit while down; two shippers; DNS failure."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_workflow.testing import FaultProxy, OtlpReceiver
from otel_workflow.testing.received import read_items
from tests.endtoend.processes import Program, clean_environment
from tests.endtoend.shipping import command, ship
from tests.faults.conftest import SPANS
from tests.servers.web import until

OUTAGE = float(os.environ.get("OW_TEST_OUTAGE_SECONDS", "2"))

FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "cut": FaultProxy.cut,
    "refuse": FaultProxy.refuse,
    "black hole": FaultProxy.black_hole,
    "half-close": FaultProxy.half_close,
}


@pytest.fixture
def proxy(receiver: OtlpReceiver) -> Iterator[FaultProxy]:
    with FaultProxy(receiver.endpoint) as made:
        yield made


def _program(how: str, journal: Path, endpoint: str) -> Program:
    return Program("steady", how, OW_JOURNAL=str(journal), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)


def _ask(program: Program, order: str) -> object:
    program.tell(order)
    [answer] = program.hear().values()
    return answer


def _numbers(receiver: OtlpReceiver) -> list[int]:
    """The phases' numbers in the order they came first."""
    return list(dict.fromkeys(s["attributes"]["number"] for s in receiver.spans if "number" in s["attributes"]))


def _check_all_delivered(receiver: OtlpReceiver, journal: Path, phases: int, runs: int = 1) -> None:
    """The books balance, nothing waits, nothing was dropped; a run that took 10 s has a marker besides."""
    books = receiver.check_identity(journal)
    assert (books.emitted, 0, {}) == (books.delivered, books.spooled, books.dropped)
    ids = {span["span_id"] for span in receiver.spans if span["name"] != "run started"}
    assert phases + runs == len(ids)


def _requests_with_repeats(receiver: OtlpReceiver) -> int:
    """How many requests brought spans that had come before."""
    seen: set[str] = set()
    repeats = 0
    for each in receiver.received:
        ids = {span["span_id"] for span, _ in read_items("traces", each.body)}
        repeats += bool(ids & seen)
        seen |= ids
    return repeats


@pytest.mark.parametrize("fault", FAULTS)
def test_collector_down_at_start_gets_everything_in_order_when_it_comes(
    fault: str, receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    FAULTS[fault](proxy)
    with _program("orders", tmp_path, proxy.endpoint) as program:
        program.hear()
        assert 20 == _ask(program, "20")
        assert _ask(program, "flush") is False
        receiver.check_identity(tmp_path)  # all is spooled, or was taken by a collector that could not say so
        proxy.pass_through()
        assert _ask(program, "deliver") is True
        assert list(range(20)) == _numbers(receiver)
        assert 0 == program.finish().code
    ship(tmp_path, proxy.endpoint)
    _check_all_delivered(receiver, tmp_path, 20)


def test_collector_flapping_loses_nothing_and_is_replayed_in_order(
    receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    with _program("orders", tmp_path, proxy.endpoint) as program:
        program.hear()
        for number, fault in enumerate(FAULTS):
            proxy.pass_through()
            assert 20 * number + 10 == _ask(program, "10")
            assert _ask(program, "deliver") is True
            FAULTS[fault](proxy)
            assert 20 * number + 20 == _ask(program, "10")
            assert _ask(program, "flush") is False
        proxy.pass_through()
        assert _ask(program, "deliver") is True
        assert list(range(80)) == _numbers(receiver)
        assert 0 == program.finish().code
    ship(tmp_path, proxy.endpoint)
    _check_all_delivered(receiver, tmp_path, 80)


@pytest.mark.timeout(120 + 3 * OUTAGE)
def test_collector_away_and_back_loses_nothing_and_gets_at_most_one_batch_again(
    receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Row: collector down for hours; as many seconds as OW_TEST_OUTAGE_SECONDS says, 2 without it."""
    with _program("keeps on", tmp_path, proxy.endpoint) as program:
        assert receiver.wait_for(5, timeout=20)
        proxy.refuse()
        before = len(receiver.span_ids)
        threading.Event().wait(OUTAGE / 2)  # how long it is away is the scene, not what is asserted
        proxy.black_hole()
        threading.Event().wait(OUTAGE / 2)
        assert before == len(receiver.span_ids)
        proxy.pass_through()
        assert receiver.wait_for(before + 20, timeout=60)
        program.tell()
        made = program.hear()["made"]
        assert 0 == program.finish().code
    ship(tmp_path, proxy.endpoint)
    books = receiver.check_identity(tmp_path)
    print(f"collector away for {OUTAGE:g} s: {books}, {books.again} came again")
    assert _requests_with_repeats(receiver) <= 1  # the one that was in flight when the connection was cut
    _check_all_delivered(receiver, tmp_path, made)
    assert list(range(made)) == _numbers(receiver)


def test_a_short_program_beside_a_collector_120_ms_away_delivers_everything_before_it_ends(
    receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Row: exit; a healthy collector that is far away is waited for, as long as it answers."""
    proxy.latency(0.06)
    with _program("100", tmp_path, proxy.endpoint) as program:
        assert {"made": 100} == program.hear()
        assert 0 == program.finish().code
    _check_all_delivered(receiver, tmp_path, 100)


def test_many_processes_of_one_journal_are_one_connection(
    receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Row: collector flapping: one in flight per host."""
    with (
        _program("orders", tmp_path, proxy.endpoint) as first,
        _program("orders", tmp_path, proxy.endpoint) as second,
        _program("orders", tmp_path, proxy.endpoint) as third,
    ):
        programs = (first, second, third)
        for program in programs:
            program.hear()
        for _ in range(3):
            for program in programs:
                _ask(program, "10")
        assert receiver.wait_for(90, timeout=20)
        assert 1 == proxy.most_open


def test_exit_while_down_leaves_the_remainder_to_the_next_process(
    receiver: OtlpReceiver, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.black_hole()
    with _program("30", tmp_path, proxy.endpoint) as program:
        program.hear()
        ended = program.finish()
    assert 0 == ended.code
    assert re.fullmatch(r"otel-workflow: 31 spans wait .*\n", ended.stderr), ended.stderr
    assert proxy.accepted <= 2  # it gave up without progress instead of trying on
    assert "31 emitted = 0 delivered + 31 spooled + 0 dropped" == str(receiver.check_identity(tmp_path))
    proxy.pass_through()
    with _program("orders", tmp_path, proxy.endpoint) as following:
        following.hear()
        _ask(following, "1")
        assert receiver.wait_for(32, timeout=20)
        assert 0 == following.finish().code
    ship(tmp_path, proxy.endpoint)
    _check_all_delivered(receiver, tmp_path, 31, runs=2)


def test_two_shippers_on_one_spool_the_second_takes_over_when_the_first_is_killed(
    receiver: OtlpReceiver, journal: Path
) -> None:
    receiver.script("hang")
    env = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    patient = [*command(journal), "--deadline", "30"]
    with (
        subprocess.Popen(patient, env=env, stderr=subprocess.PIPE) as first,
        subprocess.Popen(patient, env=env, stderr=subprocess.PIPE) as second,
    ):
        assert receiver.wait_for_requests(1)
        both = first, second
        assert until(lambda: any(_has_said(each) for each in both), timeout=20)  # one waits for the other
        waiting = next(each for each in both if _has_said(each))
        holder = first if waiting is second else second
        assert 1 == len(receiver.received)
        holder.kill()
        waiting.communicate(timeout=20)
        assert 0 == waiting.returncode
    assert (SPANS, 0) == (receiver.check_identity(journal).delivered, receiver.check_identity(journal).again)


def _has_said(process: subprocess.Popen[bytes]) -> bool:
    import select

    return bool(select.select([process.stderr], [], [], 0)[0])


def test_dns_failure_is_the_same_as_down_and_named(receiver: OtlpReceiver, tmp_path: Path) -> None:
    nowhere = "http://collector.invalid:4318"
    with _program("5", tmp_path, nowhere) as program:
        program.hear()
        ended = program.finish()
    assert 0 == ended.code
    assert re.fullmatch(r"otel-workflow: 6 spans wait for http://collector.invalid:4318/\S+; .*\n", ended.stderr)
    env = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=nowhere)
    done = subprocess.run(command(tmp_path), env=env, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode
    assert re.search("host name is not known|not resolved in time|no answer before the deadline", done.stderr)
    assert "6 emitted = 0 delivered + 6 spooled + 0 dropped" == str(receiver.check_identity(tmp_path))
