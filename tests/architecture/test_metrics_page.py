"""``docs/metrics.md`` says what the catalogue says."""

from __future__ import annotations

from otel_workflow.bridge.metrics import Limits
from tests.architecture.metrics_page import PAGE, page


def test_the_page_about_metrics_is_that_of_the_catalogue() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "python -m tests.architecture.metrics_page --write"


def test_the_limits_it_names_are_those_of_the_code() -> None:
    limits = Limits()
    text = " ".join(page().split())
    assert f"{limits.phases} phases, the last {limits.reserved} for names" in text
    assert f"{limits.error_types} values of `error.type`" in text
    assert "older than eight days" in text
    assert 8 == limits.keep_days
