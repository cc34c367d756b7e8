"""A state and a clock for every test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_workflow.bridge.metrics import MetricsWriter
from tests.bridge.metrics.making import Clock, opener


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_writer(tmp_path: Path, clock: Clock) -> Callable[..., MetricsWriter]:
    return opener(tmp_path / "state", clock)
