"""``status``, ``runs`` and ``report``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli


def status(ow: Cli, **extra: str) -> dict[str, object]:
    books: dict[str, object] = json.loads(ow("status", "--json", **extra).stdout)
    return books


def test_status_keeps_the_books_of_what_waits_and_why_the_journal_is_there(ow: Cli) -> None:
    ow.record()
    ow.record(green=False)
    books = status(ow)
    assert (books["journal"], books["why"]) == (str(ow.journal), "OW_JOURNAL")
    assert (books["segments"], books["waiting"], books["open_runs"], books["owners_alive"]) == (2, 6, 0, 0)
    assert (books["dropped"], books["endpoint"], books["last_success"]) == ({}, None, None)
    assert isinstance(books["oldest_waiting"], float)
    assert "waiting       6 spans, the oldest for " in ow("status").stdout


def test_status_sees_open_runs_of_living_processes_and_waiting_spans_of_dead_ones(
    ow: Cli, killed_worker: Callable[[], None]
) -> None:
    killed_worker()
    alive = ow.python(
        "import sys\nimport otel_workflow as ow\n"
        "with ow.workflow('build'), ow.phase('compile'):\n    print('open', flush=True)\n    sys.stdin.read()\n"
    )
    assert alive.stdout is not None
    alive.stdout.readline()
    try:
        books = status(ow)
    finally:
        alive.kill()
        alive.communicate()
    assert (books["segments"], books["owners_alive"]) == (2, 1)
    assert (books["open_runs"], books["open_phases"], books["waiting"]) == (1, 2, 2)


def test_status_finds_the_same_journal_as_a_program_whose_environment_was_stripped(ow: Cli) -> None:
    (ow.home / "pyproject.toml").write_text("")
    ow.record(OW_JOURNAL="", OTEL_SDK_DISABLED="")
    books = status(ow, OW_JOURNAL="")
    assert books["exists"] is False  # nothing was recorded: without OW_JOURNAL nobody configured
    ow("demo", OW_JOURNAL="")
    books = status(ow, OW_JOURNAL="")
    assert books["segments"] == 3
    assert str(books["journal"]).startswith(f"{ow.home}/.local/state/otel-workflow/")


def test_looking_makes_no_directory(ow: Cli) -> None:
    for words in (("status",), ("runs",), ("report",), ("ship",), ("journal", "verify"), ("journal", "clean", "--yes")):
        ow(*words)
    assert list(ow.home.iterdir()) == []


def test_status_loads_little_and_asks_no_network(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    child = ow.python(
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(event) if event.startswith('socket.') else None)\n"
        "from otel_workflow.cli.quick import quick_exit_code\n"
        "code = quick_exit_code(['status'])\n"
        "print(code, opened, *sorted(sys.modules))\n",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
    )
    books, _, said = child.communicate()[0].rstrip().rpartition("\n")
    code, opened, *modules = said.split()
    assert "waiting       3 spans" in books
    assert (code, opened) == ("0", "[]")
    slow = ("opentelemetry.sdk", "pydantic", "typer", "click", "rich", "anyio", "grpc", "asyncio")
    assert [] == [module for module in modules if module.startswith(slow)]


def test_runs_lists_the_newest_first_and_filters_by_workflow(ow: Cli) -> None:
    ow.record("first")
    ow.record("second", green=False)
    ow.record("first")
    listed = json.loads(ow("runs", "--json").stdout)["runs"]
    assert [(run["workflow"], run["result"]) for run in listed] == [
        ("first", "success"),
        ("second", "failure"),
        ("first", "success"),
    ]
    assert len(ow("runs", "--limit", "1").stdout.splitlines()) == 1
    (line,) = ow("runs", "--workflow", "second", LANG="C.UTF-8").stdout.splitlines()
    assert line.split()[1:4] == ["second", "✖", "failure"]


def test_report_finds_runs_by_word_and_by_id(ow: Cli) -> None:
    ow.record("green")
    ow.record("red", green=False)
    assert ow("report").stdout.startswith("red ")
    assert ow("report", "last-green").stdout.startswith("green ")
    first = json.loads(ow("runs", "--json").stdout)["runs"][1]["run_id"]
    assert ow("report", first[:12]).stdout.startswith("green ")
    assert ow("report", "--json").stdout != ow("report", first, "--json").stdout


def test_report_says_4_when_there_is_no_such_run_and_names_the_journal(ow: Cli) -> None:
    done = ow("report")
    assert done.returncode == 4
    assert done.stderr == f"otel-workflow: OW-204: no run in {ow.journal} (make one: otel-workflow demo)\n"
    ow.record(green=False)
    assert ow("report", "last-green").returncode == 4
    assert ow("report", "zzz").returncode == 4


@pytest.mark.parametrize(("green", "code"), [(True, 0), (False, 1)])
def test_report_check_is_for_gates(ow: Cli, *, green: bool, code: int) -> None:
    ow.record(green=green)
    assert ow("report", "--check").returncode == code
    assert ow("report").returncode == 0


def test_report_writes_a_file_or_says_why_not(ow: Cli) -> None:
    ow.record()
    target = ow.home / "report.txt"
    done = ow("report", "-o", str(target), FORCE_COLOR="1")
    assert (done.returncode, done.stdout) == (0, "")
    written = target.read_text()
    assert written.startswith("nightly ")
    assert "\x1b" not in written
    failed = ow("report", "-o", str(ow.home / "no" / "such" / "place"))
    assert failed.returncode == 2
    assert "OW-122" in failed.stderr
