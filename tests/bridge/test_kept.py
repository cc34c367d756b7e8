"""What goes out from memory while the disk fails, and what is on disk of it when that is back."""

from __future__ import annotations

import errno
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, LastingWriter, lasting
from otel_workflow.journal.record import SAMPLED, encode_event
from tests.bridge.clients import Taker
from tests.journal.making import header
from tests.journal.test_lasting import Failing

SECOND = 1_000_000_000
PHASES = 1_300


class Backend(Taker):
    """Takes so many requests, then none."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.got: list[str] = []

    def send(self, body: bytes, *, deadline: float) -> Answer:
        if not self.takes:
            return Answer("retry", 503)
        self.takes -= 1
        request = ExportTraceServiceRequest.FromString(body)
        self.got += [span.name for r in request.resource_spans for s in r.scope_spans for span in s.spans]
        return super().send(body, deadline=deadline)


def record(journal: LastingWriter, number: int) -> None:
    trace, span, name = (1).to_bytes(16, "big"), (number + 1).to_bytes(8, "big"), f"phase {number}"
    start, end = TRANSITIONS.index("started"), TRANSITIONS.index("completed")
    journal.write(EVENT, encode_event(start, SAMPLED, trace, span, bytes(8), SECOND, 1, {"name": name, "seq": 1}))
    filler = {"filler": "x" * 900}  # so that what waits is more than one request, and little enough to read on
    said = {"attributes": filler, "name": name, "seq": 2, "start": SECOND, "outcome": "success"}
    journal.write(EVENT, encode_event(end, SAMPLED, trace, span, bytes(8), 2 * SECOND, 2, said))


def settle(journal: LastingWriter) -> None:
    end = time.monotonic() + 20
    while journal.kept:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("takes", [0, 1])
def test_after_a_kill_in_the_middle_of_it_the_next_shipper_sends_what_was_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: int
) -> None:
    """Delivered from memory in parts, back on disk meanwhile, and then the process is gone."""
    monkeypatch.setattr(lasting, "LEND_AFTER", 0.0)
    disk, journal = Failing(monkeypatch), LastingWriter(str(tmp_path), header)
    record(journal, 0)
    disk.error = errno.ENOSPC
    for number in range(1, PHASES):
        record(journal, number)
    backend = Backend(takes)
    line = DirectoryShipper(tmp_path, backend, "", own=journal)
    assert line.acquire()
    assert not line.drain(20.0)
    disk.error = 0
    settle(journal)
    backend.takes = 1
    line.shipper.not_before = 0.0
    line.drain(20.0)  # the copies on disk are there now, and one more request is taken
    line.lock.release()  # as the kernel does when the process dies: nothing else is saved
    line.upkeep.lock.release()
    journal.close()
    later = Backend(1_000)
    after = DirectoryShipper(tmp_path, later, "")
    assert after.acquire()
    assert after.drain(20.0, force=True)
    after.release()
    names = Counter({*backend.got, *later.got})
    assert {f"phase {number}" for number in range(PHASES)} == set(names)
    assert len(backend.got) == len(set(backend.got))


def test_what_was_delivered_from_memory_is_not_sent_again_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "LEND_AFTER", 0.0)
    disk, journal, backend = Failing(monkeypatch), LastingWriter(str(tmp_path), header), Backend(1_000)
    line = DirectoryShipper(tmp_path, backend, "", own=journal)
    assert line.acquire()
    record(journal, 0)
    for turn in range(4):
        disk.error = errno.EIO if turn % 2 else 0
        for number in range(100):
            record(journal, 1 + turn * 100 + number)
        assert line.drain(20.0)
    assert 401 == len(backend.got)
    disk.error = 0
    settle(journal)
    assert line.drain(20.0)
    journal.close()
    assert line.drain(20.0)
    line.release()
    assert (401, 401) == (len(backend.got), len(set(backend.got)))
