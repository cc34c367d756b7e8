"""A shell writes lines of JSON; they are read like records and belong to the process of their name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.events import PhaseFacts, SpanRef
from otel_workflow.journal import EVENT, JournalReader, Segment, is_alive
from otel_workflow.journal.record import decode_event
from otel_workflow.journal.spring import LONGEST_LINE, Spring
from otel_workflow.journal.writer import RETIRED
from tests.journal.making import Program, events_of, names, writer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LINE = {"type": "phase.started", "time_ns": 7, "trace_id": TRACE, "span_id": SPAN, "name": "cc main.o"}


def spring(directory: Path, *lines: object, name: str = "make") -> Segment:
    directory.mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (directory / f"{name}.jsonl").write_text("".join(text + "\n" for text in texts))
    return next(s for s in JournalReader(directory).segments() if s.path.suffix == ".jsonl")


def names_of(segment: Segment) -> list[str]:
    return [event.facts.name for event in map(decode_event, (r.payload for r in segment.read())) if event.facts]


def test_a_line_is_an_event_with_all_that_it_says(tmp_path: Path) -> None:
    end = {
        "type": "make.recipe.failed",
        "parent_span_id": "b" * 16,
        "start": 3,
        "outcome": "failure",
        "reason": "exit 2",
    }
    segment = spring(tmp_path / "j", LINE, {**LINE, **end, "is_run": False, "seq": 2})
    first, second = segment.read()
    assert (EVENT, 1, True) == (first.kind, first.sequence, segment.header["unframed"])
    event = decode_event(first.payload)
    assert ("phase.started", "jsonl", 7) == (event.type, event.source, event.time_ns)
    assert (SpanRef(TRACE, SPAN), PhaseFacts("cc main.o", 7)) == (event.span, event.facts)
    event = decode_event(second.payload)
    assert ("make.recipe.failed", "b" * 16) == (event.type, event.span.parent_span_id if event.span else None)
    assert event.facts is not None
    assert ("exit 2", 3) == (event.facts.reason, event.facts.start_ns)
    assert (tmp_path / "j" / "make.jsonl").stat().st_size == second.end == segment.position


def test_a_shell_writes_one(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    line = '{"type":"phase.started","time_ns":%s,"trace_id":"%s","span_id":"%s","name":"cc"}\\n'
    script = f"""printf '{line}' 5 "$T" "$S" >>"$F" """
    environ = {"PATH": os.defpath, "T": TRACE, "S": SPAN, "F": str(tmp_path / "j" / "make.jsonl")}
    for _ in range(2):
        subprocess.run(["sh", "-c", script], env=environ, check=True)
    [segment] = JournalReader(tmp_path / "j").segments()
    assert ["cc", "cc"] == names_of(segment)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "5",
        "\ufeff{}",
        "[" * 4_000,
        {**LINE, "trace_id": "xyz"},
        {**LINE, "span_id": "00"},
        {**LINE, "span_id": "0" * 16},
        {**LINE, "trace_id": None},
        {**LINE, "parent_span_id": "1"},
        {**LINE, "type": 5},
        {**LINE, "time_ns": "soon"},
        {**LINE, "time_ns": -1},
        {key: value for key, value in LINE.items() if key != "type"},
        {key: value for key, value in LINE.items() if key != "time_ns"},
        {**LINE, "name": "x" * LONGEST_LINE},
        json.dumps(LINE) + json.dumps(LINE),
    ],
)
def test_a_line_that_is_none_costs_itself(tmp_path: Path, line: Any) -> None:
    segment = spring(tmp_path / "j", LINE, line, LINE)
    assert ["cc main.o"] * 2 == names_of(segment)
    cost = len((line if isinstance(line, str) else json.dumps(line)).encode()) + 1
    assert cost == segment.damaged


def test_empty_lines_cost_nothing_and_a_line_without_an_end_is_waited_for(tmp_path: Path) -> None:
    segment = spring(tmp_path / "j", "", LINE, "")
    text = json.dumps(LINE)
    with segment.path.open("a") as file:
        file.write(text[:40])
    assert (["cc main.o"], 0) == (names_of(segment), segment.damaged)
    with segment.path.open("a") as file:
        file.write(text[40:] + "\n")
    assert (["cc main.o"], 0) == (names_of(segment), segment.damaged)


def test_a_large_file_of_one_line_costs_no_memory_and_reading_goes_on_behind_it(tmp_path: Path) -> None:
    segment = spring(tmp_path / "j", "x" * 3_000_000, LINE)
    assert ["cc main.o"] == names_of(segment)
    assert 3_000_001 == segment.damaged


def test_links_pipes_and_directories_by_that_name_are_strangers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    (tmp_path / "b.jsonl").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "c.jsonl")
    reader = JournalReader(tmp_path)
    assert [] == reader.segments()
    assert dict.fromkeys(("a.jsonl", "b.jsonl", "c.jsonl"), "not a regular file") == reader.quarantined


def test_lines_belong_to_the_process_of_their_name_and_live_as_long_as_it(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never")
    journal.write(EVENT, b"x")
    [segment] = JournalReader(tmp_path / "j").segments()
    spring(tmp_path / "j", LINE, name=segment.owner)
    lines, framed = JournalReader(tmp_path / "j").segments()
    assert (True, segment.owner, segment.owner) == (isinstance(lines, Spring), lines.owner, framed.owner)
    assert ("journal-test", "unframed" in framed.header) == (lines.header["resource"]["service.name"], False)
    assert is_alive(lines)
    journal.close()


def test_lines_of_a_killed_process_die_with_it(tmp_path: Path) -> None:
    source = """
        import sys
        from otel_workflow.journal import EVENT, JournalWriter
        journal = JournalWriter(sys.argv[1], lambda: {"version": 1})
        journal.write(EVENT, b"x")
        print("there")
        sys.stdin.readline()
        """
    with Program(source, tmp_path / "j") as program:
        program.hear()
        reader = JournalReader(tmp_path / "j")
        [framed] = reader.segments()
        spring(tmp_path / "j", LINE, name=framed.owner)
        program.process.kill()
        program.process.wait()
        lines, framed = reader.segments()
        assert [True, False] == [is_alive(lines), is_alive(framed)]  # the framed one speaks for both
        (tmp_path / "j" / RETIRED).mkdir()
        framed.path.rename(tmp_path / "j" / RETIRED / framed.path.name)
        assert not is_alive(lines)
    assert 2 == len(JournalReader(tmp_path / "j", retired=True).segments())
    assert [f"{framed.owner}.jsonl", RETIRED] == names(tmp_path / "j")


def test_lines_of_nobody_live_until_they_were_silent_for_a_day(tmp_path: Path) -> None:
    segment = spring(tmp_path / "j", LINE)
    assert ("make", True) == (segment.owner, is_alive(segment))
    day_ago = segment.modified_ns() / 1e9 - 86_401
    os.utime(segment.path, (day_ago, day_ago))
    assert not is_alive(segment)


def test_lines_that_were_there_first_get_their_header_when_their_process_comes(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j", sync="never")
    reader = JournalReader(tmp_path / "j")
    owner = journal._process.owner
    spring(tmp_path / "j", LINE, name=owner)
    [lines] = reader.segments()
    assert {"unframed": True} == lines.header
    journal.write(EVENT, b"x")
    lines, _ = reader.segments()
    assert (True, os.getpid()) == (lines.header["unframed"], lines.header["pid"])
    assert 2 == len(events_of(tmp_path / "j"))
    journal.close()
