"""Patterns."""

from __future__ import annotations

import pytest

from otel_workflow.bus.routes import CACHE_LIMIT, Routes, matcher


@pytest.mark.parametrize(
    ("pattern", "event_type", "matches"),
    [
        (None, "a", True),
        ("*", "a.b", True),
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("hooks.*", "hooks.strategy.started", True),
        ("hooks.*", "hooks", False),
        ("hooks.*", "hooksy.started", False),
        ("*.failed", "workflow.failed", True),
        ("*.failed", "failed", False),
        ("*.failed", "workflow.prefailed", False),
        ("*.strategy.*", "hooks.strategy.started", True),
        ("*.strategy.*", "strategy.started", False),
        ("a*b", "axb", False),
        ("a*b", "a*b", True),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str | None, event_type: str, matches: bool) -> None:
    assert matcher(pattern)(event_type) is matches


def test_routes_of_endless_event_types_do_not_grow_without_end() -> None:
    routes: Routes[int] = Routes(((matcher("a.*"), 1),))
    for n in range(CACHE_LIMIT * 2):
        assert routes[f"a.{n}"] == (1,)
    assert len(routes) <= CACHE_LIMIT
