"""``docs/journal-format.md`` says what the code does: its example byte for byte, its tables field for field."""

from __future__ import annotations

import itertools
import json
import re
import struct
from pathlib import Path

import pytest

from otel_workflow.events import TRANSITIONS, Event, PhaseFacts, SpanRef
from otel_workflow.journal import END, EVENT, HEADER, SPAN, JournalReader, spring, writer
from otel_workflow.journal import record as recording
from otel_workflow.journal.compaction import MARK, SMALL_BYTES
from otel_workflow.journal.consumers import CONSUMERS
from otel_workflow.journal.pack import MEMBER, PACK, RUNS, Whole, runs_name, write_pack
from otel_workflow.journal.record import EVENT_HEAD, SAMPLED, SPAN_HEAD, decode_event, encode_event
from otel_workflow.journal.retention import QUARANTINE
from otel_workflow.journal.writer import ANCHOR, FIELDS, FRAME, MAGIC, MAX_PAYLOAD, SEAL_BYTES, frame, segment_name
from tests.journal.making import ROOT
from tests.journal.making import writer as open_writer

DOCUMENT = (ROOT / "docs" / "journal-format.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}.*?\n(.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    lines = section(title).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[first + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def keys(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def example() -> bytes:
    dump = re.search(r"```\n(.*?)```", section("Example"), re.DOTALL)
    assert dump is not None
    return bytes.fromhex("".join(line[6:53] for line in dump[1].splitlines()))


def test_the_example_is_what_the_code_writes() -> None:
    trace, span = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"), bytes.fromhex("00f067aa0ba902b7")
    body = {"name": "lint", "seq": 1}
    payload = encode_event(1, SAMPLED, trace, span, bytes(8), 1_700_000_000_123_456_789, 42, body)
    made = (
        frame(HEADER, 1, b'{"version":1,"owner":"1a-7-ab","segment":1}')
        + frame(EVENT, 2, payload)
        + frame(END, 3, b'{"reason":"closed","dropped":{}}')
    )
    assert made == example()


def test_the_example_is_read_as_the_document_says(tmp_path: Path) -> None:
    (tmp_path / segment_name("1a-7-ab", 1)).write_bytes(example())
    [segment] = JournalReader(tmp_path).segments()
    event, end = segment.read()
    assert ("1a-7-ab", "closed", [EVENT, END], [2, 3]) == (
        segment.owner,
        segment.ended,
        [event.kind, end.kind],
        [event.sequence, end.sequence],
    )
    read = decode_event(event.payload)
    assert isinstance(read, Event)
    assert ("phase.started", PhaseFacts("lint", 1_700_000_000_123_456_789)) == (read.type, read.facts)
    assert SpanRef("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7") == read.span


@pytest.mark.parametrize(
    ("title", "layout"), [("Frame", FRAME), ("Event: type 2", EVENT_HEAD), ("Span: type 3", SPAN_HEAD)]
)
def test_the_tables_of_fields_are_the_layouts_of_the_code(title: str, layout: struct.Struct) -> None:
    table = [(int(offset), int(size)) for offset, size, *_ in rows(title)]
    codes = re.findall(r"\d*[a-zA-Z]", layout.format.lstrip("<"))
    sizes = [struct.calcsize("<" + code) for code in codes]
    assert layout.format.startswith("<")
    assert [(sum(sizes[:number]), size) for number, size in enumerate(sizes)] == table
    assert layout.size == sum(sizes)


def test_the_checksum_is_the_last_field_of_the_frame() -> None:
    assert (FIELDS.size, "checksum") == (int(rows("Frame")[-1][0]), rows("Frame")[-1][2])


def test_the_numbers_are_those_of_the_code() -> None:
    assert {"header": HEADER, "event": EVENT, "span": SPAN, "anchor": ANCHOR, "end": END, "member": MEMBER} == {
        name: int(number) for number, name in re.findall(r"(\d) (\w+)", rows("Frame")[1][3])
    }
    flags = [int(number) for number in re.findall(r"\b(\d+) ", rows("Event: type 2")[2][3])]
    code = recording
    assert [code.SAMPLED, code.PARENT_REMOTE, code.MAKER_SDK, code.IS_RUN, code.NESTED] == flags
    assert ("OWJ", 1) == (MAGIC[:3].decode(), MAGIC[3])
    assert f"at most {MAX_PAYLOAD >> 20} MiB" in rows("Frame")[4][3]
    assert f"{SEAL_BYTES >> 20} MiB" in section("Segment")
    assert f"{recording.NO_TRANSITION}: none" in rows("Event: type 2")[1][3]
    assert f"at most {spring.LONGEST_LINE:,} bytes" in section("Lines without frames")
    assert len(TRANSITIONS) < recording.NO_TRANSITION


def test_the_table_of_keys_is_what_an_event_may_say_with_its_types() -> None:
    table = [
        line.strip("|").split("|") for line in section("Event: type 2").split("Then one JSON object")[1].splitlines()
    ]
    words = {"text": str, "integer": int, "boolean": bool, "object": dict, "list": list}
    said = {
        key: words[row[1].strip()] for row in table if len(row) == 3 and row[1].strip() in words for key in keys(row[0])
    }
    assert dict(recording._TYPES) == said


def test_the_table_of_the_header_is_what_a_header_says(tmp_path: Path) -> None:
    told = {key for row in rows("Header: type 1") for key in keys(row[0])}
    journal = open_writer(tmp_path, sync="never")
    journal.write(EVENT, b"x")
    journal.close()
    [segment] = JournalReader(tmp_path).segments()
    assert set(segment.header) <= told
    assert {"resource_schema", "incomplete"} == told - set(segment.header)
    assert json.dumps(segment.header)


def test_the_names_of_files_are_those_of_the_code(tmp_path: Path) -> None:
    assert ("1a-7-ab-000001.owj", ".jsonl", "retired") == (
        segment_name("1a-7-ab", 1),
        spring.SPRING,
        writer.RETIRED,
    )
    assert [f"`<owner>-<number>{writer.SUFFIX}`", f"`<owner>{spring.SPRING}`", f"`{writer.RETIRED}/`"] == [
        row[0] for row in rows("Directory") if row[0].startswith(("`<owner>", "`retired"))
    ]
    journal = open_writer(tmp_path, sync="never")
    journal.write(EVENT, b"x")
    assert re.fullmatch(r"[0-9a-f]+-\d+-[0-9a-f]{8}-000001\.owj", Path(str(journal.path)).name)
    journal.close()


def test_a_pack_is_made_as_the_document_says(tmp_path: Path) -> None:
    name = segment_name("1a-7-ab", 1)
    pack = write_pack(tmp_path, [Whole(name, 1_700_000_000_000_000_000, example())])
    said = {"name": name, "modified": 1_700_000_000_000_000_000, "length": len(example())}
    assert frame(MEMBER, 1, json.dumps(said, separators=(",", ":")).encode()) + example() == pack.read_bytes()
    assert set(said) == {key for row in rows("Pack") for key in keys(row[0])}
    assert {"acknowledged"} == {key for row in rows("Cursor") for key in keys(row[0])}
    assert f"smaller than {SMALL_BYTES >> 10} KiB" in section("Pack")
    names = {f"`<name>{PACK}`", f"`{QUARANTINE}/`", f"`{MARK}`", "`upkeep.json`", "`upkeep.done`"}
    assert names <= {row[0] for row in rows("Directory")}
    assert (f"`{RUNS}<name>{PACK}`" in section("Pack"), "1a-7-ab-000001.runs.owj") == (True, runs_name(name))
    assert all(f"`{consumer}`" in section("Directory") for consumer in CONSUMERS)
