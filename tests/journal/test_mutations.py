"""Corrupt tail, flipped bit, foreign file, newer version: a journal may hold anything, and costs what is broken."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import sources_of
from otel_workflow.cli.checking import check_files, describe_records
from otel_workflow.journal import EVENT, JournalReader, is_alive
from otel_workflow.journal.compaction import compact
from otel_workflow.report.load import load_runs
from tests.journal.making import writer
from tests.journal.old_files import dead_segment, event, many

COUNT = int(os.environ.get("OW_TEST_MUTATIONS", "1000"))


def payloads(directory: Path) -> Counter[bytes]:
    return Counter(r.payload for segment in JournalReader(directory).segments() for r in segment.read())


def read_by_everybody(directory: Path) -> None:
    """Each of these reads whatever is there, and raises nothing."""
    pump = Pump()
    pump.read(sources_of(JournalReader(directory), {}), force=True)
    load_runs(directory)
    check_files(directory)
    assert all(describe_records(directory))


@pytest.fixture(params=["a segment", "a pack"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "a pack":
        many(tmp_path, 64)
        compact(tmp_path)
        [path] = tmp_path.iterdir()
        return path
    records = [event(n, "started" if n % 2 else "completed", run=n == 1, at=n) for n in range(1, 40)]
    return dead_segment(tmp_path, 1, records)


@pytest.mark.slow
def test_a_flipped_bit_costs_one_record_at_most(file: Path) -> None:
    """All mutations with OW_TEST_MUTATIONS=10000. One in a header costs no record: a file's name says whose it is."""
    whole, chance = file.read_bytes(), random.Random(1)
    before = payloads(file.parent)
    for _ in range(COUNT // 4):
        data, bit = bytearray(whole), chance.randrange(len(whole) * 8)
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        assert (before - payloads(file.parent)).total() <= 1, bit


@pytest.mark.slow
def test_random_mutations_of_a_journal_crash_nobody(file: Path) -> None:
    """Row: corrupt tail / flipped bit / foreign file / newer version. All 10,000 with OW_TEST_MUTATIONS=10000."""
    whole, chance = file.read_bytes(), random.Random(2)
    for number in range(COUNT // 4):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = chance.randbytes(chance.randint(1, 300))
                case 3:
                    del data[at : at + chance.randint(1, 300)]
                case 4:
                    data[at:at] = whole[at : at + chance.randint(1, 2_000)]
                case _:
                    other = chance.randrange(len(whole))
                    data[at : at + 50] = whole[other : other + 50]
            if not data:
                data = bytearray(b"\0")
        file.write_bytes(data)
        if number % 5 == 0:
            read_by_everybody(file.parent)
        else:
            assert sum(payloads(file.parent).values()) >= 0


@pytest.mark.skipif("OW_TEST_512_MIB" not in os.environ, reason="512 MiB: set OW_TEST_512_MIB to run it")
def test_512_mib_are_opened_in_less_than_three_seconds(tmp_path: Path) -> None:
    """Opened: every segment found, its owner judged, its first record read. What reading all costs is printed."""
    journal, payload = writer(tmp_path, sync="never"), event(1, text="x" * 1_000)
    while journal._process.number * 8 < 512:
        journal.write(EVENT, payload)
    journal.close()
    began = time.process_time()
    segments = JournalReader(tmp_path).segments()
    assert all(is_alive(segment) in (True, False) and next(segment.read()) for segment in segments)
    opened = time.process_time() - began
    count = sum(1 for segment in segments for _ in segment.read())
    took = time.process_time() - began
    print(f"{len(segments)} segments opened in {opened:.3f} s of CPU, {count} records read in {took:.2f} s")
    assert opened < 3
