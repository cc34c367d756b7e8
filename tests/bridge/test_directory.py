"""A directory is shipped, retired and kept small by whoever holds its lock."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import Count, DirectoryShipper, count_waiting
from otel_workflow.bridge.otlp import wire_fields
from otel_workflow.journal.compaction import compact
from otel_workflow.journal.consumers import VANISHED_NS, Consumer
from otel_workflow.journal.ledger import Ledger
from otel_workflow.journal.pack import PACK
from otel_workflow.journal.retention import QUARANTINE
from otel_workflow.journal.upkeep import Upkeep
from otel_workflow.journal.writer import RETIRED, process_identity
from tests.journal.making import names
from tests.journal.old_files import DAY, SECOND, dead_segment, event, many


class Backend:
    """Takes everything, or nothing; remembers the requests."""

    def __init__(self, *, up: bool = True) -> None:
        self.up, self.bodies = up, list[bytes]()

    def connect(self, deadline: float) -> bool:
        return self.up

    def send(self, body: bytes, *, deadline: float) -> Answer:
        if not self.up:
            return Answer("unreachable")
        self.bodies.append(body)
        return Answer("accepted", 200)

    def close(self) -> None:
        pass

    def spans(self) -> list[tuple[bytes, bytes]]:
        """Every span that was sent, as its bytes with those of its resource, sorted."""
        found = list[tuple[bytes, bytes]]()
        for body in self.bodies:
            for _, resource in wire_fields(body):
                assert isinstance(resource, bytes)
                for number, scope in wire_fields(resource):
                    if number == 2 and isinstance(scope, bytes):
                        spans = [span for n, span in wire_fields(scope) if n == 2]
                        found += [(span, resource[:40]) for span in spans if isinstance(span, bytes)]
        return sorted(found)


def line(directory: Path, backend: Backend | None = None, **options: Any) -> DirectoryShipper:
    made = DirectoryShipper(directory, backend or Backend(), "", **options)
    assert made.acquire()
    made.shipper.not_before = 0.0
    return made


def segments(directory: Path) -> list[str]:
    return [name for name in names(directory) if name.endswith((".owj", PACK))] if directory.exists() else []


def test_a_segment_waits_for_every_registered_consumer(tmp_path: Path) -> None:
    path, metrics = dead_segment(tmp_path, 1), Consumer(tmp_path, "metrics")
    metrics.register()
    shipper = line(tmp_path)
    assert shipper.drain(5.0)
    shipper.retire()
    assert ([path.name], []) == (segments(tmp_path), segments(tmp_path / RETIRED))
    metrics.passed({path.name: shipper._known[path.name].segment.position})
    shipper.retire()
    assert ([], [path.name]) == (segments(tmp_path), segments(tmp_path / RETIRED))
    shipper.release()


def test_a_consumer_that_vanished_holds_nothing_back(tmp_path: Path) -> None:
    path, metrics = dead_segment(tmp_path, 1), Consumer(tmp_path, "metrics")
    metrics.register()
    long_ago = time.time_ns() - VANISHED_NS - 60 * SECOND
    os.utime(metrics.cursor.path, ns=(long_ago, long_ago))
    shipper = line(tmp_path)
    assert shipper.drain(5.0)
    assert [path.name] == segments(tmp_path / RETIRED)
    shipper.release()


def test_spans_are_byte_identical_from_a_pack(tmp_path: Path) -> None:
    sent = []
    for packed in (False, True):
        directory, backend = tmp_path / str(packed), Backend()
        many(directory, 70, age=DAY // 2)
        for number in range(100, 140):  # killed: the evidence is the file's modification time
            path = dead_segment(directory, number, [event(number, run=True)], end="")
            os.utime(path, ns=(number * 10 * SECOND, number * 10 * SECOND))
        if packed:
            compact(directory)
            assert 1 == len(segments(directory))
        shipper = line(directory, backend)
        assert shipper.drain(20.0, force=True)
        assert [] == segments(directory)
        sent.append(backend.spans())
        shipper.release()
    assert sent[0] == sent[1]
    assert len(sent[0]) >= 110


def test_segments_that_are_packed_while_they_wait_are_sent_once(tmp_path: Path) -> None:
    many(tmp_path, 80)
    backend = Backend(up=False)
    shipper = line(tmp_path, backend)
    assert (False, 80) == (shipper.drain(5.0), shipper.look())
    compact(tmp_path)
    assert 80 == shipper.look()
    backend.up, shipper.shipper.not_before = True, 0.0
    assert shipper.drain(5.0)
    assert (80, 1, []) == (len(backend.spans()), len(segments(tmp_path / RETIRED)), segments(tmp_path))
    shipper.release()
    again = Backend()
    shipper = line(tmp_path, again)
    assert shipper.drain(5.0)
    assert [] == again.spans()
    shipper.release()


def test_a_cursor_stays_valid_in_a_pack(tmp_path: Path) -> None:
    many(tmp_path, 80)
    Consumer(tmp_path, "metrics").register()  # holds them back
    backend = Backend()
    shipper = line(tmp_path, backend)
    assert shipper.drain(5.0)
    shipper.release()
    compact(tmp_path)
    shipper = line(tmp_path, backend)
    assert shipper.drain(5.0)
    assert (80, 1) == (len(backend.spans()), len(segments(tmp_path)))
    shipper.release()


def test_beyond_the_bound_every_span_is_sent_or_counted_and_none_is_both(tmp_path: Path) -> None:
    count = 60
    many(tmp_path, count)
    size = sum((tmp_path / name).stat().st_size for name in names(tmp_path))
    backend = Backend(up=False)
    shipper = line(tmp_path, backend, max_bytes=size // 2)
    assert not shipper.drain(5.0)  # has read all of it, and then dropped half
    backend.up, shipper.shipper.not_before = True, 0.0
    assert shipper.drain(5.0)
    [dropped] = Ledger(tmp_path).dropped.values()
    assert (count * 2, True) == (len(backend.spans()) * 2 + dropped, 0 < dropped < count * 2)
    shipper.release()


def test_a_runs_span_survives_the_bound_and_is_sent_once(tmp_path: Path) -> None:
    for number in range(1, 4):
        run = [event(number, run=True), event(number, "completed", run=True, at=number + 1)]
        dead_segment(
            tmp_path, number, [run[0], event(number + 50), *[event(9, "progress", text="x" * 3_000)] * 3, run[1]]
        )
    backend = Backend(up=False)
    shipper = line(tmp_path, backend, max_bytes=8_000)
    assert not shipper.drain(5.0)
    backend.up, shipper.shipper.not_before = True, 0.0
    shipper.drain(5.0)
    shipper.release()
    shipper = line(tmp_path, again := Backend())
    shipper.drain(5.0)
    shipper.release()
    runs = [span for span, _ in (*backend.spans(), *again.spans()) if b"RUN phase" in span]
    assert 3 == len(runs) == len(set(runs))


def test_a_run_without_evidence_for_its_ttl_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's lock cannot be judged from here: another boot, and a lock that seems to be held."""
    path = dead_segment(tmp_path, 1, [event(1, run=True)], end="", host="another", boot="another", age=DAY + SECOND)
    monkeypatch.setattr("otel_workflow.journal.liveness.lock_is_free", lambda _: None)
    backend = Backend()
    shipper = line(tmp_path, backend, run_ttl=2 * 86_400.0)
    assert shipper.drain(5.0)
    assert ([], [path.name]) == ([s for s, _ in backend.spans() if b"RUN phase" in s], segments(tmp_path))
    shipper.release()
    shipper = line(tmp_path, backend, run_ttl=86_400.0)
    assert shipper.drain(5.0)
    [span] = [span for span, _ in backend.spans() if b"RUN phase" in span]
    assert b"error.type\x12\x06\n\x04lost" in span
    assert b"nothing was heard of its process any more" in span
    shipper.release()


def test_a_stopped_process_of_ours_is_not_lost_however_long_it_is_silent(tmp_path: Path) -> None:
    path = dead_segment(tmp_path, 1, [event(1, run=True)], end="", age=30 * DAY, **_alive())
    shipper = line(tmp_path, run_ttl=1.0)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as its owner holds it
        assert shipper.drain(5.0)
        assert [path.name] == segments(tmp_path)
    shipper.release()


def _alive() -> dict[str, Any]:
    fields = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return {**process_identity(), "pid": os.getppid(), "start_ticks": int(fields[19])}


def test_a_shipper_sets_a_foreign_file_aside(tmp_path: Path) -> None:
    (tmp_path / "foreign.owj").write_bytes(b"dear diary")
    os.utime(tmp_path / "foreign.owj", ns=(1, 1))
    shipper = line(tmp_path)
    assert shipper.drain(5.0)
    shipper.sources()
    assert (["foreign.owj"], [], {}) == (
        names(tmp_path / QUARANTINE),
        segments(tmp_path),
        shipper.reader.quarantined,
    )
    shipper.release()


def test_upkeep_does_not_hold_up_a_process_that_ends(tmp_path: Path) -> None:
    many(tmp_path / RETIRED, 100)
    shipper = line(tmp_path)
    shipper.closing()
    assert shipper.drain(5.0)
    assert 100 == len(segments(tmp_path / RETIRED))
    shipper.release()


def test_only_one_of_a_shipper_and_a_writer_does_the_upkeep(tmp_path: Path) -> None:
    many(tmp_path, 3)
    shipper = line(tmp_path)
    other = Upkeep(tmp_path, 1)
    other.run()
    assert 3 == len(segments(tmp_path))
    shipper.release()
    other.run()
    assert [] == segments(tmp_path)


def _large(directory: Path, phases: int, number: int = 1, **header: Any) -> Path:
    numbers = range(number * 100_000, number * 100_000 + phases)
    pairs = ([event(each), event(each, "completed", at=each + 1)] for each in numbers)
    return dead_segment(directory, number, [payload for pair in pairs for payload in pair], **header)


def test_what_waits_is_counted_whole_or_called_incomplete(tmp_path: Path) -> None:
    _large(tmp_path, 3000)
    assert Count(3000) == count_waiting(tmp_path, budget=60.0)
    cut = count_waiting(tmp_path, budget=0.0)
    assert not cut.complete
    assert 0 < cut.spans < 3000


def test_what_waits_for_another_destination_is_counted_apart(tmp_path: Path) -> None:
    for number, destination in enumerate(("", "here", "there"), 1):
        _large(tmp_path, number, number, destination=destination)
    counts = [count_waiting(tmp_path, "here", 60.0, elsewhere=elsewhere) for elsewhere in (False, True)]
    assert [Count(1 + 2), Count(3)] == counts


def test_a_look_reads_until_something_waits_and_leaves_the_rest_on_disk(tmp_path: Path) -> None:
    _large(tmp_path, 3000)
    shipper = line(tmp_path)
    assert 0 < shipper.look(force=True) < 3000
    assert shipper.pump.behind
    assert shipper.drain(20.0, force=True)
    assert 3000 == shipper.shipper.books.delivered
    shipper.release()
