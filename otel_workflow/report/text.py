"""The waterfall as text: who ran when, for how long, how it ended, and why."""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass
from datetime import tzinfo

from otel_workflow.report.bars import bar
from otel_workflow.report.notes import notes_of
from otel_workflow.report.rows import Row, rows_of
from otel_workflow.report.style import PLAIN, Style
from otel_workflow.report.wording import cells, count_outcomes, cut, duration, moment, printable, result_word, short_id
from otel_workflow.runs import PhaseRun, Run

__all__ = ("waterfall",)

_NARROWEST = 40
_SMALLEST_BAR, _LARGEST_BAR = 12, 48
_MOST_LINES = 3
_SHORTEST_NAME = 12
_MARK, _GAP = 2, 2
_TIME = 7
"""Columns of a duration: ``123h05m``."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The columns of one report, and the time it looks at the run from."""

    style: Style
    width: int
    label: int
    word: int
    bar: int
    first: int
    last: int
    now: int

    def end_of(self, phase: PhaseRun) -> int:
        end = phase.end_ns
        return end if end is not None else max(self.now, phase.start_ns)


def waterfall(
    run: Run, *, width: int = 100, style: Style = PLAIN, now_ns: int | None = None, zone: tzinfo | None = None
) -> str:
    """Return a run as a waterfall of at most ``width`` columns, without a line end at its end.

    ``now_ns`` (ns since the epoch, default: this moment) dates what is still running; ``zone`` is
    the time zone of the header (default: the machine's).
    """
    now = time.time_ns() if now_ns is None else now_ns
    rows = list(rows_of(run, style))
    sheet = _lay_out(rows, max(width, _NARROWEST), style, now)
    lines = [_header(run, sheet, zone), ""]
    for row in rows:
        lines += [_folded(row, sheet)] if row.folded else _lines(row, sheet)
    lines += ["", *_summary(run, rows)]
    return "\n".join(line.rstrip() for line in lines)


def _lay_out(rows: list[Row], width: int, style: Style, now: int) -> _Sheet:
    """Give each column its width: names first, the bar what is left, and none if that is too little."""
    phases = [row.phase for row in rows]
    first = min(phase.start_ns for phase in phases)
    last = max(max(phase.end_ns if phase.end_ns is not None else now, phase.start_ns) for phase in phases)
    words = [_word(row.phase) for row in rows if not row.folded]
    word = max(len(said) for said in words)
    word += 2 if word else 0
    wanted = max(len(row.before) + _MARK + cells(_name(row)) for row in rows) + _GAP
    fixed = word + _TIME
    room = width - fixed - _GAP - wanted
    bar_width = min(max(room, _SMALLEST_BAR), _LARGEST_BAR)
    label = min(wanted, width - fixed - _GAP - bar_width)
    if label < min(wanted, _NARROWEST // 2):
        bar_width, label = 0, min(wanted, width - fixed)
    return _Sheet(style, width, label, word, bar_width, first, last, now)


def _word(phase: PhaseRun) -> str:
    word = result_word(phase.outcome)
    return "" if word == "success" else word


def _name(row: Row) -> str:
    if row.folded:
        return f"{row.folded} more items"
    name = printable(row.phase.name)
    attempt = row.phase.facts.attempt
    return name if attempt == 1 else f"{name} (attempt {attempt})"


def _label(row: Row, sheet: _Sheet) -> tuple[str, str]:
    """Return the connector lines and the name, cut to the column; a deep tree loses its left side."""
    before, name, ellipsis = row.before, _name(row), sheet.style.ellipsis
    room = sheet.label - _MARK - _GAP
    most = max(room - min(cells(name), _SHORTEST_NAME), 0)
    if len(before) > most:
        before = ellipsis + before[len(before) - most + len(ellipsis) :] if most > len(ellipsis) else ""
    return before, cut(name, max(room - len(before), 1), ellipsis)


def _lines(row: Row, sheet: _Sheet) -> list[str]:
    style, phase = sheet.style, row.phase
    outcome = phase.outcome
    before, name = _label(row, sheet)
    gap = " " * (sheet.label - len(before) - _MARK - cells(name))
    end = sheet.end_of(phase)
    word = f"{_word(phase):<{sheet.word}}"
    took = f"{duration(end - phase.start_ns):>{_TIME}}"
    drawn = bar(phase.start_ns, end, sheet.first, sheet.last, sheet.bar, style) if sheet.bar else ""
    line = (
        f"{style.dim(before)}{style.paint(outcome, style.mark(outcome))} {name}{gap}"
        f"{style.paint(outcome, word)}{took}  {style.paint(outcome, drawn)}"
    )
    return [line, *_remarks(row, sheet)]


def _folded(row: Row, sheet: _Sheet) -> str:
    before, name = _label(row, sheet)
    return f"{sheet.style.dim(before)}{sheet.style.dim(f'{sheet.style.ellipsis} {name}, all success')}"


def _remarks(row: Row, sheet: _Sheet) -> list[str]:
    """The reasons, wrapped below the phase beside its children's lines."""
    style = sheet.style
    lead = row.below if len(row.below) <= sheet.width // 2 else "  "
    lines = []
    for note in notes_of(row.phase):
        room = max(sheet.width - len(lead) - 1, 20)
        if not note.isascii():
            room = max(room - (cells(note) - len(note)), room // 2)
        wrapped = textwrap.wrap(note, room, max_lines=_MOST_LINES, placeholder=f" {style.ellipsis}")
        lines += [f"{style.dim(lead)}{style.paint(row.phase.outcome, part)}" for part in wrapped]
    return lines


def _header(run: Run, sheet: _Sheet, zone: tzinfo | None) -> str:
    style, outcome = sheet.style, run.outcome
    end = run.end_ns
    took = duration((end if end is not None else max(sheet.now, run.start_ns)) - run.start_ns)
    tail = f"{short_id(run)}  {style.mark(outcome)} {result_word(outcome)}  {took}  {moment(run.start_ns, zone)}"
    name = cut(printable(run.name), max(sheet.width - cells(tail) - 2, 12), style.ellipsis)
    said = style.paint(outcome, f"{style.mark(outcome)} {result_word(outcome)}")
    return f"{style.bold(name)}  {style.dim(short_id(run))}  {said}  {took}  {style.dim(moment(run.start_ns, zone))}"


def _summary(run: Run, rows: list[Row]) -> list[str]:
    """Count phases and items apart, the run itself not among them."""
    seen = {id(row.phase): row.phase for row in rows}
    for row in rows:
        seen.update((id(inner), inner) for inner in row.phase.children)
    inner = [phase for phase in seen.values() if phase is not run.root]
    items = [phase for phase in inner if phase.facts.detail == "item"]
    phases = [phase for phase in inner if phase.facts.detail != "item"]
    said = [_count(phases, "phase")] if phases or not items else []
    if items:
        said.append(_count(items, "item"))
    return said


def _count(phases: list[PhaseRun], noun: str) -> str:
    if not phases:
        return f"no {noun}s"
    counted = ", ".join(f"{number} {word}" for word, number in count_outcomes(phases).items())
    return f"{len(phases)} {noun}{'' if len(phases) == 1 else 's'}: {counted}"
