"""SIGKILL between every two steps while a scraper reads: no counter goes down, nothing counts twice."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from otel_workflow.bridge.daemon.addresses import Address
from tests.bridge.daemon.making import SCRAPER, ask, parse, post, run_span, runs, task_span, traces, until
from tests.bridge.metrics.test_journals import Owner

STEPS = ("told", "committing", "committed", "answering", "page made", "page sent", "page served")
ROOT = Path(__file__).parents[3]


class Victim:
    """One daemon process, which may kill itself at a step."""

    def __init__(self, state: Path, journal: Path, step: str = "", number: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bridge.daemon.killed", str(state), str(journal), step, str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.place = Address("http", "127.0.0.1", int(line or 1))  # an empty line: it is dead already

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)

    @property
    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def send(self, body: bytes) -> bool:
        """True once it was answered with yes."""
        try:
            return post(self.place, body)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


class Scraper:
    """Reads the page again and again, and keeps every value that it has ever seen."""

    def __init__(self) -> None:
        self.pages: list[dict[str, float]] = []
        self.place: Address | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            if self.place is None:
                continue
            try:
                status, _, page = ask(self.place, "GET", "/metrics", headers=SCRAPER)
            except (OSError, http.client.HTTPException):
                continue  # nothing was read to its end
            if status == 200 and page.endswith(b"# EOF\n"):
                self.pages.append(parse(page.decode()))


def counters(page: dict[str, float]) -> Iterator[tuple[str, float]]:
    return ((s, v) for s, v in page.items() if s.partition("{")[0].endswith(("_total", "_count", "_bucket", "_sum")))


def assert_never_down(pages: list[dict[str, float]]) -> None:
    known: dict[str, float] = {}
    for page in pages:
        for series, value in counters(page):
            assert value >= known.get(series, 0.0), series
            known[series] = value
        missing = known.keys() - page.keys()
        assert not missing, missing


def assert_born_at_zero(pages: list[dict[str, float]]) -> None:
    seen: set[str] = set()
    for page in pages:
        new = {series: value for series, value in counters(page) if series not in seen}
        assert {} == {series: value for series, value in new.items() if value and "bridge" not in series}
        seen |= new.keys()


def through_journal(journal: Path, number: int, result: str) -> None:
    """The run of ``run_span(number)`` as a process writes it, which has ended since."""
    owner = Owner(journal, f"p{number}-{time.monotonic_ns()}", alive=False)
    _say_run(owner, "started", number, 1)
    _say_run(owner, "completed" if result == "success" else "failed", number, 6, start=1_000_000_000, outcome=result)


def _say_run(owner: Owner, transition: str, number: int, second: float, **body: object) -> None:
    from otel_workflow.bridge.metrics import journals
    from otel_workflow.events import TRANSITIONS
    from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event
    from otel_workflow.journal.writer import frame
    from tests.bridge.daemon.making import START

    time_ns = START + round(second * 1e9)
    said = {"name": "nightly", "workflow": "nightly", **body, "start": START}
    ids = number.to_bytes(16, "big"), (1).to_bytes(8, "big"), bytes(8)
    payload = encode_event(TRANSITIONS.index(transition), SAMPLED | IS_RUN, *ids, time_ns, time_ns, said)
    with owner.path.open("ab") as file:
        file.write(frame(journals.EVENT, 1, payload))


@pytest.mark.slow
def test_no_counter_goes_down_or_counts_twice_when_the_daemon_is_killed_between_any_two_steps(tmp_path: Path) -> None:
    state, journal = tmp_path / "state", tmp_path / "journal"
    journal.mkdir()
    waiting: list[bytes] = []
    truth = {"success": 0, "failure": 0}
    deaths = [(step, number) for number in (1, 3) for step in STEPS]
    with Scraper() as scraper:
        for number, (step, nth) in enumerate(deaths, 1):
            result = "failure" if number % 3 == 0 else "success"
            truth[result] += 1
            if number % 2:
                through_journal(journal, number, result)
            waiting.append(traces(run_span(number, result=result), task_span(number, 2)))
            with Victim(state, journal, step, nth) as victim:
                scraper.place = victim.place
                end = time.monotonic() + 20
                while not victim.is_dead:
                    assert time.monotonic() < end, f"{step} was not reached"
                    waiting = [body for body in waiting if not victim.send(body)]
                    victim.send(traces(task_span(number, 3)))  # the same again and again, so that every step comes
        with Victim(state, journal) as survivor:
            scraper.place = survivor.place
            waiting = [body for body in waiting if not survivor.send(body)]
            assert [] == waiting
            until(lambda: scraper.pages and runs(scraper.pages[-1]) == len(deaths))
    assert truth == {result: runs(scraper.pages[-1], result) for result in truth}
    assert_never_down(scraper.pages)
    assert_born_at_zero(scraper.pages)
    assert len(scraper.pages) > len(deaths)


@pytest.mark.parametrize("first", ["journal", "otlp"])
def test_the_same_run_through_journal_and_otlp_counts_once_though_the_daemon_is_killed_between(
    tmp_path: Path, first: str
) -> None:
    state, journal = tmp_path / "state", tmp_path / "journal"
    journal.mkdir()
    body = traces(run_span(1))
    with Scraper() as scraper:
        with Victim(state, journal) as victim:
            scraper.place = victim.place
            if first == "otlp":
                assert victim.send(body)
            else:
                through_journal(journal, 1, "success")
            until(lambda: scraper.pages and runs(scraper.pages[-1]) == 1)
        with Victim(state, journal) as victim:
            scraper.place = victim.place
            if first == "otlp":
                through_journal(journal, 1, "success")
            else:
                assert victim.send(body)
            until(lambda: scraper.pages[-1]["otel_workflow_bridge_duplicates_total"] == 1)
    assert (1, 1) == (runs(scraper.pages[-1]), runs(scraper.pages[-1], "success"))
    assert_never_down(scraper.pages)


def test_the_checks_can_fail() -> None:
    with pytest.raises(AssertionError):
        assert_never_down([{"a_total": 2.0}, {"a_total": 1.0}])
    with pytest.raises(AssertionError):
        assert_never_down([{"a_total": 2.0}, {}])
    with pytest.raises(AssertionError):
        assert_born_at_zero([{"a_total": 2.0}])
