"""A stand-in for crackerjack's bus, attached to for one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from otel_workflow.engines import crackerjack
from tests.engines import standin


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, imported already; whatever a test attaches is detached after it."""
    made = standin.module()
    monkeypatch.setitem(sys.modules, crackerjack.MODULE, made)
    yield made
    crackerjack.detach()
