"""Damage costs the records it touched: torn tails, flipped bits, strangers, files that move."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from otel_workflow.errors import JournalError
from otel_workflow.journal import END, EVENT, HEADER, JournalReader, Segment
from otel_workflow.journal import reader as finding
from otel_workflow.journal import segment as reading
from otel_workflow.journal.writer import FRAME, MAGIC, MAX_PAYLOAD, RETIRED, frame
from tests.journal.making import HEADER as SAID
from tests.journal.making import events_of, records_of, writer

NAME = "17a0000000000000-4711-aabbccdd-000001.owj"
HEAD = frame(HEADER, 1, b'{"version":1,"owner":"17a0000000000000-4711-aabbccdd","segment":1}')
FIRST, SECOND, THIRD = (frame(EVENT, n, f"record {n}".encode()) for n in (2, 3, 4))


def made(directory: Path, data: bytes, name: str = NAME) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(data)
    return directory


def payloads(segment: Segment) -> list[bytes]:
    return [record.payload for record in segment.read()]


def test_a_torn_tail_costs_the_last_record_wherever_it_was_torn(tmp_path: Path) -> None:
    for cut in range(len(THIRD)):
        directory = made(tmp_path / "j", HEAD + FIRST + SECOND + THIRD[:cut])
        [segment] = JournalReader(directory).segments()
        assert [b"record 2", b"record 3"] == payloads(segment), cut
        assert (0, len(HEAD + FIRST + SECOND)) == (segment.damaged, segment.position), cut


def test_a_record_that_is_still_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    for cut in range(len(SECOND)):
        directory = made(tmp_path / "j", HEAD + FIRST + SECOND[:cut])
        [segment] = JournalReader(directory).segments()
        assert [b"record 2"] == payloads(segment), cut
        with (directory / NAME).open("ab") as file:
            file.write(SECOND[cut:] + THIRD)
        assert [b"record 3", b"record 4"] == payloads(segment), cut
        assert segment.damaged == 0, cut


def test_a_torn_record_with_others_behind_it_costs_itself(tmp_path: Path) -> None:
    for cut in range(1, len(SECOND)):
        directory = made(tmp_path / "j", HEAD + FIRST + SECOND[:cut] + THIRD)
        [segment] = JournalReader(directory).segments()
        assert [b"record 2", b"record 4"] == payloads(segment), cut
        assert cut == segment.damaged


def test_every_single_flipped_bit_costs_one_record_at_most(tmp_path: Path) -> None:
    end = frame(END, 5, b'{"reason":"closed","dropped":{}}')
    whole = HEAD + FIRST + SECOND + THIRD + end
    wanted = {b"record 2", b"record 3", b"record 4"}
    directory = tmp_path / "j"
    for bit in range(len(whole) * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        [segment] = JournalReader(made(directory, bytes(data))).segments()
        assert segment.owner == "17a0000000000000-4711-aabbccdd", bit
        read = list(segment.read())
        lost = len(wanted - {record.payload for record in read}) + (not segment.header) + (segment.ended != "closed")
        assert lost == 1, bit
        assert {r.payload for r in read if r.kind == EVENT} <= wanted, bit


def test_ten_thousand_random_damages_never_raise(tmp_path: Path) -> None:
    rolled = random.Random(4711)
    whole = HEAD + b"".join(frame(EVENT, n, bytes(rolled.randbytes(rolled.randrange(60)))) for n in range(2, 12))
    for _ in range(2_000):
        data = bytearray(whole)
        for _ in range(rolled.randrange(1, 5)):
            where = rolled.randrange(len(data) + 1)
            match rolled.randrange(4):
                case 0:
                    data[where : where + 1] = bytes([rolled.randrange(256)])
                case 1:
                    del data[where : where + rolled.randrange(40)]
                case 2:
                    data[where:where] = rolled.randbytes(rolled.randrange(40))
                case _:
                    data[where:where] = MAGIC
        for segment in JournalReader(made(tmp_path / "j", bytes(data))).segments():
            assert len(list(segment.read())) <= 11


def test_a_damaged_header_is_replaced_by_that_of_another_segment_of_the_process(tmp_path: Path) -> None:
    broken = bytearray(HEAD + FIRST)
    broken[FRAME.size + 4] ^= 1
    directory = made(tmp_path / "j", HEAD.replace(b"1}", b"1}") + SECOND)
    made(directory, bytes(broken), NAME.replace("000001", "000002"))
    one, two = JournalReader(directory).segments()
    assert one.header == two.header
    assert [b"record 2"] == payloads(two)
    assert len(HEAD) == two.damaged


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"{}\n" * 10, "no header record"),
        (b"OWJ", "no header record"),
        (b"OWJ\x02" + b"\0" * 60, "frame version 2"),
        (os.urandom(100_000), "no header record"),
        (frame(HEADER, 1, b'{"version":2}'), "version 2"),
        (frame(HEADER, 1, b"{}"), "version None"),
        (frame(HEADER, 1, b"[]"), "the header does not parse"),
        (frame(HEADER, 1, b"\xff"), "the header does not parse"),
        (frame(HEADER, 1, b"[" * 90_000), "the header does not parse"),
    ],
)
def test_a_stranger_is_left_alone_and_named(tmp_path: Path, data: bytes, why: str) -> None:
    reader = JournalReader(made(tmp_path / "j", data))
    assert [] == reader.segments()
    assert {NAME: why} == reader.quarantined
    assert data == (tmp_path / "j" / NAME).read_bytes()


def test_directories_links_and_pipes_by_that_name_are_strangers(tmp_path: Path) -> None:
    directory = made(tmp_path / "j", HEAD + FIRST)
    (directory / "a.owj").mkdir()
    (directory / "b.owj").symlink_to(directory / NAME)
    os.mkfifo(directory / "c.owj")
    (directory / ".d.owj").write_bytes(HEAD)
    reader = JournalReader(directory)
    [segment] = reader.segments()
    assert directory / NAME == segment.path
    link = os.strerror(errno.ELOOP)
    assert {"a.owj": "not a regular file", "b.owj": link, "c.owj": "not a regular file"} == reader.quarantined


def test_a_stranger_is_looked_at_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = JournalReader(made(tmp_path / "j", HEAD[:30]))
    assert [] == reader.segments()
    looked: list[Path] = []
    look = finding.read_header
    monkeypatch.setattr(finding, "read_header", lambda path: (looked.append(path), look(path))[1])
    assert [] == reader.segments()
    assert [] == looked
    with (tmp_path / "j" / NAME).open("ab") as file:  # a copy that is under way
        file.write(HEAD[30:] + FIRST)
    [segment] = reader.segments()
    assert ([b"record 2"], {}) == (payloads(segment), reader.quarantined)


def test_a_large_stranger_costs_no_memory_and_a_large_hole_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(tmp_path / "j", b"\0" * 64)
    os.truncate(directory / NAME, 1 << 36)
    reader = JournalReader(directory)
    assert ([], {NAME: "no header record"}) == (reader.segments(), reader.quarantined)
    with (directory / NAME).open("r+b") as file:
        file.write(HEAD + FIRST)
        file.truncate(3 * MAX_PAYLOAD)
    largest = 0
    find = reading.next_frame

    def watched(data: bytes, at: int, *, final: bool) -> object:
        nonlocal largest
        largest = max(largest, len(data))
        return find(data, at, final=final)

    monkeypatch.setattr(reading, "next_frame", watched)
    [segment] = reader.segments()
    assert [b"record 2"] == payloads(segment)
    assert [] == payloads(segment)
    with (directory / NAME).open("ab") as file:
        file.write(SECOND)
    assert [b"record 3"] == payloads(segment)
    assert largest <= MAX_PAYLOAD + 1_000_000
    assert 3 * MAX_PAYLOAD - len(HEAD + FIRST) == segment.damaged


def test_a_record_of_the_largest_size_is_read_and_a_larger_one_never_believed(tmp_path: Path) -> None:
    largest = frame(EVENT, 2, b"x" * MAX_PAYLOAD)
    too_large = frame(EVENT, 3, b"y" * (MAX_PAYLOAD + 1))
    directory = made(tmp_path / "j", HEAD + largest + too_large + THIRD)
    [segment] = JournalReader(directory).segments()
    assert [MAX_PAYLOAD, len(b"record 4")] == [len(payload) for payload in payloads(segment)]
    assert len(too_large) == segment.damaged


def test_records_inside_a_record_are_not_records(tmp_path: Path) -> None:
    inner = frame(EVENT, 9, b"a journal that somebody attached to a span")
    directory = made(tmp_path / "j", HEAD + frame(EVENT, 2, b"said: " + inner) + THIRD)
    [segment] = JournalReader(directory).segments()
    assert [b"said: " + inner, b"record 4"] == payloads(segment)


def test_positions_go_on_where_reading_stopped(tmp_path: Path) -> None:
    directory = made(tmp_path / "j", HEAD + FIRST + SECOND + THIRD)
    [segment] = JournalReader(directory).segments()
    ends = [record.end for record in segment.read()]
    assert [len(HEAD + FIRST), len(HEAD + FIRST + SECOND), len(HEAD + FIRST + SECOND + THIRD)] == ends
    again = JournalReader(directory).segments()[0]
    again.position = ends[1]
    assert [b"record 4"] == payloads(again)


def test_a_file_that_did_not_grow_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(tmp_path / "j", HEAD + FIRST)
    [segment] = JournalReader(directory).segments()
    assert [b"record 2"] == payloads(segment)
    monkeypatch.setattr(reading, "open_regular", None)
    assert [] == payloads(segment)


def test_retired_segments_are_found_only_when_asked_for_and_moving_loses_none(tmp_path: Path) -> None:
    directory = made(tmp_path / "j", HEAD + FIRST)
    reader, everything = JournalReader(directory), JournalReader(directory, retired=True)
    [segment], [seen] = reader.segments(), everything.segments()
    (directory / RETIRED).mkdir()
    (directory / NAME).rename(directory / RETIRED / NAME)
    assert [] == payloads(segment)
    assert [] == reader.segments()
    [moved] = everything.segments()
    assert directory / RETIRED / NAME == moved.path
    assert [b"record 2"] == payloads(moved)
    assert [] == payloads(seen)


def test_segments_come_oldest_first_and_one_that_is_forgotten_stays_away_with_its_file(tmp_path: Path) -> None:
    directory = tmp_path / "j"
    for number in (10, 9, 1):
        made(directory, HEAD + FIRST, NAME.replace("000001", f"{number:06d}"))
    reader = JournalReader(directory)
    assert [1, 9, 10] == [reading.owner_and_number(segment.path)[1] for segment in reader.segments()]
    oldest = reader.segments()[0]
    oldest.path.unlink()
    reader.forget(oldest)
    assert [9, 10] == [reading.owner_and_number(segment.path)[1] for segment in reader.segments()]


def test_a_directory_that_is_not_there_is_empty_and_one_that_is_none_is_an_error(tmp_path: Path) -> None:
    assert [] == JournalReader(tmp_path / "nowhere").segments()
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        JournalReader(tmp_path / "file").segments()
    assert (caught.value.code, bool(caught.value.hint)) == ("OW-202", True)


def test_reading_beside_a_writer_gives_every_record_once(tmp_path: Path) -> None:
    journal, read, reader = writer(tmp_path / "j", sync="never", seal_bytes=2_000), [], JournalReader(tmp_path / "j")
    for number in range(300):
        assert journal.write(EVENT, b"%d" % number)
        if number % 7 == 0:
            read += [r.payload for s in reader.segments() for r in s.read() if r.kind == EVENT]
    journal.close()
    read += [r.payload for s in reader.segments() for r in s.read() if r.kind == EVENT]
    assert [b"%d" % number for number in range(300)] == read
    assert ["sealed"] * (len(reader.segments()) - 1) + ["closed"] == [s.ended for s in reader.segments()]
    assert len(reader.segments()) > 2


def test_the_header_says_who_writes_and_what_the_caller_added(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"x")
    journal.close()
    [segment] = JournalReader(tmp_path / "j").segments()
    wanted = {*SAID, "host", "boot", "pid_namespace", "pid", "ppid", "start_ticks", "owner", "segment", "anchor"}
    assert wanted == set(segment.header)
    assert (os.getpid(), os.getppid(), 1) == tuple(segment.header[key] for key in ("pid", "ppid", "segment"))
    assert segment.owner == segment.path.stem.rpartition("-")[0]
    assert [b"x"] == events_of(tmp_path / "j")
    assert [2, 3] == [record.sequence for record in records_of(tmp_path / "j")]
