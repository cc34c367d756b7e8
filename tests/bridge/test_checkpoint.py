"""A restart reads only what came since, sends nothing twice, and falls back to reading everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge import directory as shipping
from otel_workflow.bridge.checkpoint import CheckpointFile
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.journal import EVENT, JournalWriter
from otel_workflow.journal.compaction import compact
from otel_workflow.journal.consumers import Consumer
from tests.bridge.test_directory import Backend, line
from tests.journal.old_files import event, many

OPEN, ENDED = 7, 20


@pytest.fixture(autouse=True)
def small_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep checkpoints of little journals too."""
    monkeypatch.setattr(shipping, "_WORTH", 1)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    """A living process that has one open run, one open phase, and twenty that have ended."""
    header = {"version": 1, "resource": {"service.name": "s"}, "scope": {}, "destination": ""}
    made = JournalWriter(str(tmp_path), lambda: header, sync="never")
    made.write(EVENT, event(1, run=True))
    made.write(EVENT, event(OPEN))
    for number in range(ENDED, ENDED + 20):
        made.write(EVENT, event(number))
        made.write(EVENT, event(number, "completed", at=number + 1))
    yield made
    made.close()


def shipped(directory: Path, backend: Backend | None = None) -> int:
    """Ship once, in a shipper of its own; returns how many spans that sent."""
    backend = backend or Backend()
    shipper = line(directory, backend)
    assert shipper.drain(5.0)
    shipper.release()
    return len(backend.spans())


def records_read(directory: Path) -> int:
    """How many records a restarted shipper reads."""
    shipper = line(directory)
    count = shipper.pump.read(shipper.sources())
    shipper.lock.release()
    shipper.upkeep.lock.release()
    return count


def test_a_restart_reads_only_the_records_that_came_since(writer: JournalWriter, tmp_path: Path) -> None:
    assert shipped(tmp_path) >= 20
    assert 0 == records_read(tmp_path)
    writer.write(EVENT, event(50))
    assert 1 == records_read(tmp_path)


def test_a_phase_that_was_open_over_the_restart_is_sent_with_its_start(writer: JournalWriter, tmp_path: Path) -> None:
    shipped(tmp_path)
    writer.write(EVENT, event(OPEN, "completed", at=900))
    resumed, whole = Backend(), Backend()
    shipped(tmp_path, resumed)
    for name in ("resume.json", "traces.cursor"):
        (tmp_path / name).unlink()
    shipped(tmp_path, whole)
    [(span, _)] = resumed.spans()
    assert span in [whole_span for whole_span, _ in whole.spans()]


def test_whoever_deletes_the_cursor_gets_everything_again(writer: JournalWriter, tmp_path: Path) -> None:
    first = shipped(tmp_path)
    (tmp_path / "traces.cursor").unlink()
    assert first == shipped(tmp_path)


def _torn(said: dict[str, Any]) -> None:
    said["state"] = said["state"][:-9]


def _flipped(said: dict[str, Any]) -> None:
    said["state"] = said["state"].replace('"read":', '"reaD":')


def _newer(said: dict[str, Any]) -> None:
    said["version"] = 2


def _elsewhere(said: dict[str, Any]) -> None:
    said["destination"] = "another"


@pytest.mark.parametrize("spoil", [_torn, _flipped, _newer, _elsewhere, dict.clear])
def test_a_checkpoint_that_is_not_as_it_was_written_for_us_is_as_good_as_none(
    writer: JournalWriter, tmp_path: Path, spoil: Any
) -> None:
    shipped(tmp_path)
    path = tmp_path / "resume.json"
    said = json.loads(path.read_bytes())
    assert 0 == records_read(tmp_path)
    spoil(said)
    path.write_text(json.dumps(said), encoding="ascii")
    assert 42 == records_read(tmp_path)
    assert 0 == shipped(tmp_path)


def test_an_older_checkpoint_costs_reading_and_sends_nothing_twice(writer: JournalWriter, tmp_path: Path) -> None:
    shipped(tmp_path)
    old = (tmp_path / "resume.json").read_bytes()
    writer.write(EVENT, event(OPEN, "completed", at=900))
    writer.write(EVENT, event(51))
    assert 1 == shipped(tmp_path)
    (tmp_path / "resume.json").write_bytes(old)
    assert 2 == records_read(tmp_path)
    assert 0 == shipped(tmp_path)


def test_a_phase_whose_start_went_with_its_segment_is_not_recalled(writer: JournalWriter, tmp_path: Path) -> None:
    shipped(tmp_path)
    assert writer.path is not None
    Path(writer.path).unlink()
    shipper = line(tmp_path)
    shipper.sources()
    assert {} == shipper.pump.store.phases
    shipper.release()


def test_no_checkpoint_is_kept_while_spans_wait(writer: JournalWriter, tmp_path: Path) -> None:
    shipper = DirectoryShipper(tmp_path, Backend(up=False), "")
    assert shipper.acquire()
    assert not shipper.drain(5.0)
    shipper.release()
    assert CheckpointFile(tmp_path, "").load() is None


def test_segments_that_were_packed_since_the_checkpoint_are_not_read_again(tmp_path: Path) -> None:
    many(tmp_path, 80)
    Consumer(tmp_path, "metrics").register()  # holds them back
    assert 80 == shipped(tmp_path)
    compact(tmp_path)
    assert 0 == records_read(tmp_path)
    assert 0 == shipped(tmp_path)


def test_a_phase_that_says_ever_more_is_not_kept_in_memory_for_a_restart(writer: JournalWriter, tmp_path: Path) -> None:
    """It is open for a day and reports ten times a second; until it ends a restart reads the journal again."""
    shipped(tmp_path)
    (tmp_path / "resume.json").unlink()
    for number in range(300):
        writer.write(EVENT, event(OPEN, "progress", at=100 + number))
    shipped(tmp_path)
    assert not (tmp_path / "resume.json").exists()

    writer.write(EVENT, event(OPEN, "completed", at=900))
    backend = Backend()
    shipped(tmp_path, backend)
    assert (1, True) == (len(backend.spans()), (tmp_path / "resume.json").exists())
