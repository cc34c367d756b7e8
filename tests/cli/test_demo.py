from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest

from otel_workflow.report import load_runs
from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli

MARKER = "run started"
"""A run that lasts ten seconds, as on a machine with other things to do, sends this too."""


def until(reached: Callable[[], bool], seconds: float = 20.0) -> None:
    end = monotonic() + seconds
    while not reached():
        assert monotonic() < end, "it never came to that"
        sleep(0.01)


def test_the_demo_runs_a_gate_and_shows_its_tree_from_the_journal(ow: Cli) -> None:
    done = ow("demo", LANG="C.UTF-8")
    assert done.returncode == 0
    for line in (
        r"^demo  [0-9a-f]{8}  ✖ failure  ",
        r"^✖ demo +failure ",
        r"^├─ ✔ compile +(\d+ms|\d+\.\ds|\d+m\d\ds)",
        r"^├─ ✖ lint +failure ",
        r"^│    1 finding: shop/cart.py:3: json is imported and never used$",
        r"^├─ ✖ test +failure ",
        r"^│  │ TestsFailedError: 1 of 5 tests failed$",
        r"^│  ├─ ✖ test_discount_is_in_whole_cents +failure ",
        r"^├─ ✔ docs ",
        r"^├─ ⚠ integration +error ",
        r"^│    killed, end estimated, at ([89]|[123]\d) of 40: orders placed$",
        r"^└─ ⊘ changelog +skip ",
        r"^6 phases: 2 success, 2 failure, 1 error, 1 skip$",
        r"^look again +\S*python\S* -m otel_workflow report$",
    ):
        assert re.search(line, done.stdout, re.MULTILINE), line
    assert ow("report", LANG="C.UTF-8").stdout in done.stdout


def test_a_journal_can_be_named_and_is_named_in_the_next_command(ow: Cli) -> None:
    place = ow.home / "my journal"
    done = ow("demo", "--journal", str(place))
    assert f"otel_workflow report --journal '{place}'" in done.stdout
    assert ow("report", "--journal", str(place)).returncode == 0
    assert not ow.journal.exists()


def test_as_json_it_is_the_run_s_document_alone(ow: Cli) -> None:
    run = json.loads(ow("demo", "--json").stdout)["run"]
    results = {phase["name"]: phase["result"] for phase in run["phases"]}
    assert results["integration"] == "error"
    assert (results["lint"], results["test"], results["changelog"]) == ("failure", "failure", "skip")


def test_with_an_endpoint_every_phase_is_delivered_once_and_the_link_printed(ow: Cli, receiver: OtlpReceiver) -> None:
    done = ow("demo", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    link = re.search(r"^see it +http://localhost:16686/trace/([0-9a-f]{32})$", done.stdout, re.MULTILINE)
    assert link
    spans = [span for span in receiver.spans if span["name"] != MARKER]
    assert len(spans) == 12
    assert len({span["span_id"] for span in spans}) == 12
    assert {span["trace_id"] for span in spans} == {link[1]}


def test_the_link_follows_the_template_the_user_set(ow: Cli, receiver: OtlpReceiver) -> None:
    template = "https://traces.example/t/{trace_id}"
    done = ow("demo", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OW_TRACE_URL=template)
    assert re.search(r"^see it +https://traces\.example/t/[0-9a-f]{32}$", done.stdout, re.MULTILINE)


def test_beside_a_dead_collector_the_next_command_is_ship(ow: Cli) -> None:
    done = ow("demo", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0
    assert re.search(r"^send it +\S*python\S* -m otel_workflow ship$", done.stdout, re.MULTILINE)


def test_inside_another_run_the_demo_is_still_a_run_of_its_own(ow: Cli) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    run = json.loads(ow("demo", "--json", TRACEPARENT=parent).stdout)["run"]
    assert run["phases"][0]["is_run"]
    assert run["trace_id"] not in parent


def test_where_recording_is_switched_off_it_says_so(ow: Cli) -> None:
    done = ow("demo", OTEL_SDK_DISABLED="true")
    assert done.returncode == 2
    assert "OW-124" in done.stderr


def test_where_no_journal_can_be_written_it_could_not_run(ow: Cli) -> None:
    (ow.home / "file").write_text("")
    done = ow("demo", "--journal", str(ow.home / "file"))
    assert done.returncode in (1, 2)
    assert re.search(r"^otel-workflow: OW-\d+: .+$", done.stderr, re.MULTILINE)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for children in /proc")
def test_ctrl_c_ends_it_with_130_and_leaves_no_child_behind(ow: Cli) -> None:
    scratch = ow.home / "scratch"
    scratch.mkdir()
    demo = ow.start("demo", TMPDIR=str(scratch))

    def worker_is_open() -> bool:
        return any(phase.name == "integration" for run in load_runs(ow.journal) for _, phase in run.walk())

    until(worker_is_open)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=20)
    assert (demo.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert living_with(str(scratch)) == []
    assert list(scratch.iterdir()) == []


def living_with(word: str) -> list[int]:
    """Return the processes that have a word in their environment."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                found += [int(place.name)] if word.encode() in (place / "environ").read_bytes() else []
            except OSError:
                continue
    return found
