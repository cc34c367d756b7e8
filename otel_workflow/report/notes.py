"""What is said below a phase: why it ended as it did, how far it came, what contradicts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_workflow.events import Event
from otel_workflow.report.wording import printable, result_word
from otel_workflow.runs import PhaseRun

__all__ = ("notes_of", "progress_of")


def notes_of(phase: PhaseRun) -> list[str]:
    """Return the remarks to a phase, each safe for a terminal; none for a plain success."""
    notes = []
    if phase.interrupted:
        notes.append(", ".join(filter(None, [f"{printable(phase.lost_type)}, end estimated", _at(phase)])))
    elif phase.is_open:
        notes.append(_at(phase))
    elif phase.reason and not _said_inside(phase):
        notes.append(_reason(phase))
    others = sorted(phase.contradictions.values(), key=lambda event: event.time_ns)
    notes += [f"also reported as {_ended_as(other)}" for other in others]
    return [note for note in notes if note]


def _reason(phase: PhaseRun) -> str:
    """The reason's words; lines become one, since the tree shows a line and ``--json`` has it all."""
    return printable(" ".join(phase.reason.split()))


def _said_inside(phase: PhaseRun) -> bool:
    """True when an inner phase gives the same reason: an exception that went through both."""
    return any(inner.reason == phase.reason and inner.outcome is phase.outcome for inner in phase.children)


def _ended_as(event: Event) -> str:
    facts = event.facts
    return result_word(facts.outcome) if facts is not None else printable(event.type)


def progress_of(phase: PhaseRun) -> Mapping[str, Any]:
    """Return the payload of the last progress report, empty when there was none."""
    report = phase.others.report
    return report.payload if report is not None else {}


def _at(phase: PhaseRun) -> str:
    report = progress_of(phase)
    done, total, message = report.get("done"), report.get("total"), report.get("message")
    said = [] if done is None else [f"at {_number(done)}" + ("" if total is None else f" of {_number(total)}")]
    if isinstance(message, str) and message:
        said.append(printable(" ".join(message.split())))
    return ": ".join(said)


def _number(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    return printable(str(value)) if isinstance(value, str) else "?"
