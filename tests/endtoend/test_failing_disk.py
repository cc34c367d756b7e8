"""Row: disk full / EIO / EROFS in the middle of a run, with a real small disk and a real receiver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.journal.test_faults import small_disk

__all__ = ("small_disk",)

ROOT = Path(__file__).parents[2]


class Running:
    """The program, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> str:
        """End it; returns what it said on stderr."""
        _, said = self.process.communicate("end\n", timeout=60)
        assert 0 == self.process.returncode
        return said

    def back_on_disk(self) -> None:
        """Wait until nothing is in memory any more."""
        end = time.monotonic() + 20
        while self.tell("kept") != "0":
            assert time.monotonic() < end
            time.sleep(0.02)


def environ(journal: Path, endpoint: str = "") -> dict[str, str]:
    kept = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(journal.parent),
        "OW_JOURNAL": str(journal),
    }
    return {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else kept


@contextmanager
def program(journal: Path, endpoint: str) -> Iterator[Running]:
    words = [sys.executable, "-m", "tests.endtoend.programs.failing_disk"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=ROOT, env=environ(journal, endpoint), text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            running = Running(process)
            assert "begun" == running.hear()
            yield running
        finally:
            process.kill()


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)


def ship(journal: Path, endpoint: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "otel_workflow", "ship", "--deadline", "20"],
        cwd=ROOT,
        env=environ(journal, endpoint),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def assert_each_once(receiver: OtlpReceiver, phases: int) -> None:
    names = Counter(span["name"] for span in receiver.spans)
    assert {"RUN nightly": 1, **{f"phase {n}": 1 for n in range(phases)}} == dict(names)
    [root] = [span for span in receiver.spans if span["name"] == "RUN nightly"]
    assert {root["span_id"], ""} == {span["parent_span_id"] for span in receiver.spans}
    assert {"success"} == {
        span["attributes"].get("cicd.pipeline.result") or span["attributes"]["cicd.pipeline.task.run.result"]
        for span in receiver.spans
    }


def test_a_disk_that_is_full_to_the_end_costs_no_span_and_is_said_once(small_disk: Path) -> None:
    with OtlpReceiver() as receiver, program(small_disk / "j", receiver.endpoint) as running:
        assert int(running.tell("phases 1000")) > 500
        said = running.end()
        assert_each_once(receiver, 1000)
    assert 1 == said.count("keeps events in memory")
    assert (True, False) == ("(disk_full)" in said, "lost" in said)


def test_what_goes_out_from_memory_does_not_go_out_again_when_the_disk_is_back(small_disk: Path) -> None:
    with OtlpReceiver() as receiver, program(small_disk / "j", receiver.endpoint) as running:
        assert int(running.tell("phases 1000")) > 500
        assert "True" == running.tell("flush")
        assert 1000 == len(receiver.spans)
        grow(small_disk)
        running.back_on_disk()
        running.tell("phases 100")
        running.end()
        assert_each_once(receiver, 1100)
        assert "nothing waits" in ship(small_disk / "j", receiver.endpoint)
        assert_each_once(receiver, 1100)


@pytest.mark.parametrize("answers", [0, 3])
def test_what_waits_in_memory_for_a_collector_is_not_passed_over_on_disk(small_disk: Path, answers: int) -> None:
    """Read from memory, refused for now, and killed after all got to the disk: they are sent from there."""
    with OtlpReceiver() as receiver:
        receiver.script(*[503] * 4)
        with program(small_disk / "j", receiver.endpoint) as running:
            assert int(running.tell("phases 1000")) > 500
            end = time.monotonic() + 20
            while not receiver.requests and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(1.2 + answers / 10)
            grow(small_disk)
            running.back_on_disk()
            running.process.kill()
        ship(small_disk / "j", receiver.endpoint)
        names = Counter(span["name"] for span in receiver.spans)
        assert {f"phase {n}": 1 for n in range(1000)} == {k: n for k, n in names.items() if k != "RUN nightly"}
