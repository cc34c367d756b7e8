from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from time import time

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli


def segments(ow: Cli) -> list[Path]:
    return sorted(ow.journal.rglob("*.owj"))


def test_verify_finds_nothing_wrong_with_whole_files(ow: Cli) -> None:
    ow.record()
    done = ow("journal", "verify")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "1 files, 8 records, 0 files damaged"


@pytest.mark.parametrize("damage", ["flip", "tear", "stranger"])
def test_verify_says_1_and_what_is_damaged(ow: Cli, damage: str) -> None:
    ow.record()
    (segment,) = segments(ow)
    data = bytearray(segment.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
        segment.write_bytes(data)
    elif damage == "tear":
        segment.write_bytes(data[:-10])
    else:
        (ow.journal / "0-stranger.owj").write_bytes(b"hello")
    done = ow("journal", "verify")
    assert done.returncode == 1
    said = {"flip": "bytes damaged", "tear": "a torn tail of", "stranger": "no header record"}[damage]
    assert said in done.stdout


def test_cat_shows_every_record_and_streams_json_lines(ow: Cli) -> None:
    ow.record()
    assert "phase.started  compile" in ow("journal", "cat").stdout
    lines = [json.loads(line) for line in ow("journal", "cat", "--json").stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["header"] + ["event"] * 6 + ["end"]
    assert all(line["schema"] == 1 for line in lines)


STEPPED = """
import types, time
import otel_workflow as ow, otel_workflow.clock as clocks
hour = 0
clocks.time = types.SimpleNamespace(time_ns=lambda: time.time_ns() + hour, monotonic_ns=time.monotonic_ns)
with ow.workflow("nightly"):
    with ow.phase("compile"):
        hour = 3_600_000_000_000
    with ow.phase("test"):
        pass
"""


def test_a_step_of_the_wall_clock_is_recorded_once_and_changes_no_duration(ow: Cli, receiver: OtlpReceiver) -> None:
    """Row: clock steps, suspend."""
    child = ow.python(STEPPED)
    child.communicate(timeout=60)
    assert 0 == child.returncode
    lines = ow("journal", "cat").stdout.splitlines()
    [line] = [line for line in lines if "moved" in line]
    assert line.endswith("the wall clock has moved by +3600.000 s")
    records = [json.loads(row) for row in ow("journal", "cat", "--json").stdout.splitlines()]
    [anchor] = [record for record in records if record["kind"] == "anchor"]
    assert abs(anchor["moved_ns"] - 3_600_000_000_000) < 50_000_000
    assert "0 files damaged" in ow("journal", "verify").stdout
    assert "3 spans delivered" in ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint).stderr
    took = {span["name"]: span["end_ns"] - span["start_ns"] for span in receiver.spans}
    assert max(took.values()) < 3_000_000_000_000


def test_clean_keeps_what_was_not_delivered_and_says_1(ow: Cli, killed_worker: Callable[[], None]) -> None:
    ow.record()
    killed_worker()
    done = ow("journal", "clean", "--yes")
    assert done.returncode == 1
    assert "2 files kept: not delivered yet" in done.stderr
    assert len(segments(ow)) == 2
    everything = ow("journal", "clean", "--yes", "--all", "--json")
    assert (everything.returncode, json.loads(everything.stdout)["deleted"]) == (0, 2)
    assert segments(ow) == []


def test_clean_deletes_what_was_delivered(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert len(segments(ow)) == 1
    assert ow("journal", "clean", "--yes").returncode == 0
    assert segments(ow) == []


def test_clean_never_touches_the_files_of_a_living_process(ow: Cli) -> None:
    alive = ow.python(
        "import sys\nimport otel_workflow as ow\n"
        "with ow.workflow('build'):\n    print('open', flush=True)\n    sys.stdin.read()\n"
    )
    assert alive.stdout is not None
    alive.stdout.readline()
    try:
        assert ow("journal", "clean", "--yes", "--all").returncode == 0
        assert len(segments(ow)) == 1
    finally:
        alive.kill()
        alive.communicate()


def test_clean_can_be_limited_to_old_files(ow: Cli) -> None:
    ow.record()
    ow.record()
    old, new = segments(ow)
    week = time() - 7 * 86_400
    os.utime(old, (week, week))
    ow("journal", "clean", "--yes", "--all", "--older-than", "3d")
    assert segments(ow) == [new]


def test_clean_asks_and_where_nobody_can_answer_wants_yes(ow: Cli) -> None:
    ow.record()
    done = ow("journal", "clean", "--all")
    assert done.returncode == 2
    assert "OW-125" in done.stderr
    assert len(segments(ow)) == 1


def test_clean_deletes_dead_letters_and_files_set_aside_only_with_all(ow: Cli) -> None:
    ow.record()
    letter, aside = ow.journal / "dead" / "letters.jsonl", ow.journal / "quarantine" / "torn.owj"
    for path in (letter, aside):
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")

    ow("journal", "clean", "--yes")
    assert (True, True) == (letter.exists(), aside.exists())
    assert 0 == ow("journal", "clean", "--yes", "--all").returncode
    assert (False, False) == (letter.exists(), aside.exists())
