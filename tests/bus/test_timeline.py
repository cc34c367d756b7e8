"""The timeline's lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from otel_workflow.bus import WorkflowEventBus
from otel_workflow.bus.timeline import line
from otel_workflow.events import Event
from tests.bus.waiting import quiet

WHEN = 1_762_337_750_456_999_999


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("event_type", "payload", "expected"),
    [
        (
            "hooks.strategy.completed",
            {"strategy": "fast", "duration": 20.331},
            "HOOK_STRATEGY_COMPLETED (fast) - duration: 20.33s",
        ),
        ("hooks.strategy.started", {"strategy": "fast", "step_id": "1"}, "HOOK_STRATEGY_STARTED (fast)"),
        ("workflow.quality.started", {"phase": "cleaning"}, "QUALITY_PHASE_STARTED (cleaning)"),
        ("my.own.event", {}, "my.own.event"),
        ("phase.started", {"name": "lint", "phase": "other"}, "PHASE_STARTED (lint)"),
        ("phase.started", {"name": "a\x1b[2J\n[2025] ok\u202e"}, r"PHASE_STARTED (a\x1b[2J\n[2025] ok\u202e)"),
        ("my.\nown", {"name": "größe"}, r"my.\nown (größe)"),
        ("phase.started", {"duration": "odd", "hook": "ruff"}, "PHASE_STARTED (ruff)"),
    ],
)
def test_a_line_has_the_form_of_the_seed_page(event_type: str, payload: dict[str, object], expected: str) -> None:
    assert line(Event("1", event_type, "test", WHEN, payload=payload)) == f"[2025-11-05 10:15:50.456] {expected}"


@pytest.mark.anyio
async def test_registering_the_logging_handler_twice_logs_once(
    bus: WorkflowEventBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus.register_logging_handler()
    bus.register_logging_handler()
    with caplog.at_level(logging.INFO, "otel_workflow.timeline"):
        await bus.publish("phase.started", {"name": "lint"})
        await quiet(bus)
    assert [record.getMessage()[26:] for record in caplog.records] == ["PHASE_STARTED (lint)"]
    assert [s.description for s in bus.list_subscriptions()] == ["workflow.logging"]
