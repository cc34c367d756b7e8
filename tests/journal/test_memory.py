"""A journal in memory reads like a segment, keeps to its bound, and is nobody's but its process's."""

from __future__ import annotations

import os
import threading

from otel_workflow.bridge.sources import MemorySource
from otel_workflow.journal import EVENT, MemoryJournal
from tests.journal.making import header


def test_records_are_read_from_a_position_on() -> None:
    journal = MemoryJournal(header)
    for number in range(5):
        assert journal.write(EVENT, b"%d" % number)
    assert [(EVENT, 1, b"0", 1), (EVENT, 2, b"1", 2)] == [tuple(record) for record in journal.read()][:2]
    assert [b"3", b"4"] == [record.payload for record in journal.read(3)]
    assert [] == list(journal.read(5))
    assert (5, {}, None) == (journal.written, journal.dropped, journal.path)


def test_the_oldest_fall_out_and_are_counted_and_positions_stay() -> None:
    journal = MemoryJournal(header, max_bytes=10)
    for number in range(8):
        journal.write(EVENT, b"%04d" % number)
    assert [(b"0006", 7), (b"0007", 8)] == [(record.payload, record.end) for record in journal.read(2)]
    assert (8, {"memory_full": 6}) == (journal.written, journal.dropped)
    journal.write(EVENT, b"x" * 100)
    assert [b"x" * 100] == [record.payload for record in journal.read()]


def test_a_reader_beside_many_writers_gets_every_record_once_with_growing_positions() -> None:
    journal, read, stop = MemoryJournal(header), [], threading.Event()

    def work(thread: int) -> None:
        for number in range(2_000):
            journal.write(EVENT, b"%d-%d" % (thread, number))

    def follow() -> None:
        position = 0
        while True:
            last = stop.is_set()
            for record in journal.read(position):
                assert record.end == position + 1
                position = record.end
                read.append(record.payload)
            if last:
                break

    workers, reader = [threading.Thread(target=work, args=(n,)) for n in range(6)], threading.Thread(target=follow)
    for thread in (reader, *workers):
        thread.start()
    for worker in workers:
        worker.join()
    stop.set()
    reader.join()
    assert sorted(b"%d-%d" % (t, n) for t in range(6) for n in range(2_000)) == sorted(read)


def test_writers_that_push_each_other_out_never_raise() -> None:
    journal, failures = MemoryJournal(header, max_bytes=64), []

    def work() -> None:
        try:
            for _ in range(3_000):
                journal.write(EVENT, b"x" * 50)
        except IndexError as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert journal.write(EVENT, b"last")
    kept = list(journal.read())
    assert ([], 18_001) == (failures, journal.written)
    assert (b"last", 18_001) == (kept[-1].payload, kept[-1].end)
    assert 18_001 == len(kept) + journal.dropped["memory_full"]


def test_a_forked_child_reads_nothing_of_its_parents_and_has_a_header_of_its_own() -> None:
    journal = MemoryJournal(header)
    journal.write(EVENT, b"parent")
    mine = journal.header
    pid = os.fork()
    if pid == 0:
        fresh = MemorySource(journal)
        own = journal.header["pid"] == os.getpid() and fresh.owner == f"memory-{os.getpid()}"
        empty = [] == list(fresh.read()) and journal.written == 0
        journal.write(EVENT, b"child")
        os._exit(0 if own and empty and [b"child"] == [r.payload for r in fresh.read()] else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ([b"parent"], mine) == ([record.payload for record in journal.read()], journal.header)
    assert (os.getpid(), 1) == (mine["pid"], mine["version"])


def test_the_calls_of_a_writer_are_all_there() -> None:
    journal = MemoryJournal(header)
    journal.phase_opened()
    journal.phase_closed()
    journal.close()
    assert journal.write(EVENT, b"x")
