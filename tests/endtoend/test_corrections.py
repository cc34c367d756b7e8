"""A verdict that comes after its phase was sent as interrupted: Jaeger shows both and complains about neither."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest

from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, JournalWriter
from otel_workflow.journal.record import IS_RUN, SAMPLED, encode_event
from tests.endtoend.shipping import ship
from tests.servers.jaeger import Jaeger

MS = 1_000_000


class Said:
    """What one process says about a run ``deploy`` and its phase ``upload``; its ids are new in every test."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.trace, self.run, self.phase = secrets.token_bytes(16), secrets.token_bytes(8), secrets.token_bytes(8)
        self.start = time.time_ns() - 5_000 * MS

    def say(self, *said: tuple[str, str, int]) -> None:
        """Write events (who, transition, ms after the start) as a process does that ends after that."""
        header = {"version": 1, "resource": {"service.name": "corrections"}, "scope": {"name": "otel_workflow"}}
        writer = JournalWriter(str(self.journal), lambda: header)
        for name, transition, at in said:
            span, parent, flags = self.run, bytes(8), SAMPLED | IS_RUN
            if name == "upload":
                span, parent, flags = self.phase, self.run, SAMPLED
            body = {"name": name, "start": self.start, "outcome": "success" if transition == "completed" else None}
            when = self.start + at * MS
            number = TRANSITIONS.index(transition)
            assert writer.write(EVENT, encode_event(number, flags, self.trace, span, parent, when, when, body))
        writer.close()


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path / "journal")


def tag(span: dict[str, object], key: str) -> object:
    return next((each["value"] for each in span["tags"] if each["key"] == key), None)  # type: ignore[attr-defined]


def test_interrupted_then_a_real_end_arrives_late_and_jaeger_shows_both_without_a_warning(
    said: Said, jaeger: Jaeger
) -> None:
    said.say(("deploy", "started", 0), ("upload", "started", 10))
    ship(said.journal, jaeger.endpoint)
    interrupted = jaeger.wait_for_trace(said.trace.hex(), spans=2)["spans"]
    assert [True, True] == [tag(span, "otel_workflow.interrupted") for span in interrupted]

    said.say(("upload", "completed", 900), ("deploy", "completed", 1_000))
    ship(said.journal, jaeger.endpoint)
    spans = jaeger.wait_for_trace(said.trace.hex(), spans=4)["spans"]
    assert ["RUN deploy", "RUN deploy", "upload", "upload"] == sorted(span["operationName"] for span in spans)
    assert [] == [warning for span in spans for warning in span.get("warnings") or []]

    originals = {span["spanID"]: span for span in spans if tag(span, "otel_workflow.interrupted")}
    corrections = [span for span in spans if tag(span, "otel_workflow.late_verdict")]
    assert {said.run.hex(), said.phase.hex()} == originals.keys()
    # Jaeger gives parent (CHILD_OF) and link (FOLLOWS_FROM) as references: both are the span that is corrected.
    for span in corrections:
        about = {(each["refType"], each["spanID"]) for each in span["references"]}
        original = originals[next(iter(about))[1]]
        assert {"CHILD_OF", "FOLLOWS_FROM"} >= {kind for kind, _ in about}
        assert {original["spanID"]} == {where for _, where in about}
        assert original["operationName"] == span["operationName"]
        assert not tag(span, "error")
    assert 2 == len({span["spanID"] for span in corrections} - originals.keys())


def test_a_corrected_run_is_counted_once_by_its_server_span_in_jaeger(said: Said, jaeger: Jaeger) -> None:
    said.say(("deploy", "started", 0))
    ship(said.journal, jaeger.endpoint)
    said.say(("deploy", "completed", 1_000))
    ship(said.journal, jaeger.endpoint)

    spans = jaeger.wait_for_trace(said.trace.hex(), spans=2)["spans"]
    assert ["internal", "server"] == sorted(str(tag(span, "span.kind")) for span in spans)
