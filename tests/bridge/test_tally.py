"""What waits while a backend is away is counted once by the shipper; ``status`` says the same as by reading all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.bridge import directory as shipping
from otel_workflow.bridge import tally
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.bridge.tally import WAITING
from otel_workflow.cli.backlog import Backlog, look_at
from otel_workflow.journal import EVENT, JournalReader, JournalWriter
from otel_workflow.journal.compaction import compact
from tests.bridge.test_directory import Backend
from tests.journal.old_files import dead_segment, event, many

PHASES = 800
ALL = PHASES + 3 + 2
"""With the three phases of the process that was killed, and the markers of two long runs."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count at once, to the end, and keep the counts of little journals too."""
    for name in ("_TALLY_EVERY", "_TALLY_AGAIN"):
        monkeypatch.setattr(shipping, name, 0.0)
    monkeypatch.setattr(shipping, "_TALLY_SECONDS", 60.0)
    for name in ("_WORTH", "_EACH"):
        monkeypatch.setattr(tally, name, 1)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    """A living process with an open run and phases that have ended, and one that was killed."""
    header = {"version": 1, "resource": {"service.name": "s"}, "scope": {}, "destination": ""}
    made = JournalWriter(str(tmp_path), lambda: header, sync="never")
    made.write(EVENT, event(1, run=True))
    for number in range(100, 100 + PHASES):
        made.write(EVENT, event(number))
        made.write(EVENT, event(number, "completed", at=number + 1))
    dead_segment(tmp_path, 7, [event(7, run=True), event(8), event(9), event(9, "completed", at=99)], end="")
    yield made
    made.close()


@pytest.fixture
def shipper(tmp_path: Path, writer: JournalWriter) -> Iterator[DirectoryShipper]:
    """A shipper whose backend is away, and which has counted what waits."""
    made = DirectoryShipper(tmp_path, Backend(up=False), "")
    assert made.acquire()
    made.shipper.ahead = 16
    count(made)
    yield made
    made.release()


def count(shipper: DirectoryShipper) -> None:
    for _ in range(2):  # the first time says only that nothing has moved since
        shipper.shipper.not_before = 0.0
        assert not shipper.drain(5.0)


def books(found: Backlog) -> dict[str, object]:
    names = "segments waiting oldest_ns open_phases open_runs late_verdicts dropped complete"
    return {name: getattr(found, name) for name in names.split()}


def both(directory: Path) -> tuple[dict[str, object], dict[str, object]]:
    return books(look_at(directory, counted=True)), books(look_at(directory))


def records_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many records a look with the counts reads."""
    read = []
    monkeypatch.setattr("otel_workflow.cli.backlog.ReadSegment.read", lambda self: map(seen, self.segment.read()))

    def seen(record: object) -> object:
        read.append(record)
        return record

    look_at(directory, counted=True)
    monkeypatch.undo()
    return len(read)


@pytest.mark.usefixtures("shipper")
def test_the_counts_are_those_that_reading_everything_gives(tmp_path: Path) -> None:
    counted, read = both(tmp_path)
    assert read == counted
    assert ALL == read["waiting"]


@pytest.mark.usefixtures("shipper")
def test_only_what_came_since_is_read(writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write(EVENT, event(1, "completed", run=True, at=5000))
    writer.write(EVENT, event(50))
    assert 2 == records_read(tmp_path, monkeypatch)
    counted, read = both(tmp_path)
    assert (read, ALL + 1, 1) == (counted, read["waiting"], read["open_phases"])


def test_after_a_delivery_everything_is_read_again(
    shipper: DirectoryShipper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = shipper.pump.batch(1 << 20, 5)
    shipper.pump.settled(batch)
    shipper._save()
    assert records_read(tmp_path, monkeypatch) > PHASES
    counted, read = both(tmp_path)
    assert read == counted


@pytest.mark.usefixtures("shipper")
def test_when_a_segment_is_gone_everything_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = next(s.path for s in JournalReader(tmp_path).segments() if s.header["pid"] > 2**22)
    dead.unlink()
    assert records_read(tmp_path, monkeypatch) > PHASES
    counted, read = both(tmp_path)
    assert (read, PHASES + 1) == (counted, read["waiting"])


@pytest.mark.usefixtures("shipper")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":2}', b'{"version":1,"state":"{}","crc":0}'])
def test_counts_that_are_torn_or_newer_are_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / WAITING).write_bytes(content)
    counted, read = both(tmp_path)
    assert read == counted


@pytest.mark.usefixtures("writer")
def test_counts_hold_in_a_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, 80)
    made = DirectoryShipper(tmp_path, Backend(up=False), "")
    assert made.acquire()
    count(made)
    compact(tmp_path)
    assert 0 == records_read(tmp_path, monkeypatch)
    counted, read = both(tmp_path)
    assert read == counted
    made.release()


def test_when_all_was_delivered_the_counts_are_gone(shipper: DirectoryShipper, tmp_path: Path) -> None:
    assert (tmp_path / WAITING).exists()
    client = shipper.shipper.client
    assert isinstance(client, Backend)
    client.up, shipper.shipper.not_before = True, 0.0
    assert shipper.drain(5.0, force=True)
    assert not (tmp_path / WAITING).exists()
    assert 0 == look_at(tmp_path, counted=True).waiting
