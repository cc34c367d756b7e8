"""Every verb reads a journal whose segments were packed, dropped or set aside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.journal.compaction import compact
from otel_workflow.journal.retention import QUARANTINE
from otel_workflow.journal.upkeep import Upkeep
from otel_workflow.journal.writer import RETIRED
from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli
from tests.journal.old_files import DAY, dead_segment, event, many


def books(ow: Cli, *words: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(ow(*words, "--json").stdout)
    return said


@pytest.fixture
def packed(ow: Cli) -> Path:
    """Seventy phases that wait and seventy that were retired, in a pack each."""
    many(ow.journal, 70)
    for number in range(100, 170):
        dead_segment(ow.journal / RETIRED, number, age=2 * DAY)
    compact(ow.journal)
    compact(ow.journal / RETIRED)
    assert [2, 1] == [len(list(place.iterdir())) for place in (ow.journal, ow.journal / RETIRED)]
    return ow.journal


def test_status_counts_segments_and_not_packs(ow: Cli, packed: Path) -> None:
    said = books(ow, "status")
    assert (70, 70, 70, {}) == (said["segments"], said["retired"], said["waiting"], said["dropped"])


def test_verify_and_cat_read_what_is_in_packs(ow: Cli, packed: Path) -> None:
    said = books(ow, "journal", "verify")
    assert (True, 140) == (said["ok"], len(said["files"]))
    assert 560 == len(ow("journal", "cat", "--json").stdout.splitlines())


def test_ship_sends_a_pack_and_retires_it(ow: Cli, packed: Path, receiver: OtlpReceiver) -> None:
    assert 0 == ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint).returncode
    assert 70 == len(receiver.spans)
    assert (0, 140) == (books(ow, "status")["segments"], books(ow, "status")["retired"])


def test_clean_keeps_a_pack_that_holds_something_to_send(ow: Cli, packed: Path) -> None:
    done = ow("journal", "clean", "--yes")
    assert (1, "70 files kept: not delivered yet" in done.stderr) == (done.returncode, True)
    assert [70, 0] == [books(ow, "status")[key] for key in ("segments", "retired")]
    assert 0 == ow("journal", "clean", "--yes", "--all").returncode
    assert 0 == books(ow, "status")["segments"]


def test_clean_keeps_a_pack_with_a_younger_segment(ow: Cli) -> None:
    for number in range(70):
        dead_segment(ow.journal / RETIRED, number + 1, age=(2 if number else 0) * DAY)
    compact(ow.journal / RETIRED)
    assert 0 == ow("journal", "clean", "--yes", "--older-than", "1d").returncode
    assert 70 == books(ow, "status")["retired"]


def test_status_says_what_the_bound_cost_and_what_was_set_aside(ow: Cli) -> None:
    dead_segment(ow.journal, 1, [event(1), event(2)])
    Upkeep(ow.journal, 1).run()
    (ow.journal / QUARANTINE).mkdir()
    (ow.journal / QUARANTINE / "foreign.owj").write_bytes(b"dear diary")
    said = books(ow, "status")
    assert ({"journal_full": 2}, {"foreign.owj": "set aside"}) == (said["dropped"], said["quarantined"])
    assert "2 records: journal_full" in ow("status").stdout


def test_a_recording_process_keeps_its_journal_below_the_bound(ow: Cli) -> None:
    for number in range(1, 40):
        path = dead_segment(ow.journal, number, [event(number, text="x" * 5_000)])
        os.utime(path, ns=(number, number))
    child = ow.python(
        "import sys, time\nfrom pathlib import Path\nimport otel_workflow as ow\n"
        "ow.configure()\n"
        "with ow.workflow('build'):\n"
        "    end = time.monotonic() + 30\n"
        "    while not Path('journal/upkeep.done').exists() and time.monotonic() < end:\n        time.sleep(0.05)\n",
        OW_JOURNAL_MAX="50KiB",
    )
    child.communicate(timeout=60)
    dropped = books(ow, "status")["dropped"]["journal_full"]
    assert 39 == dropped + len(list(ow.journal.glob("00*.owj")))
    assert 25 < dropped < 39
