"""The version is said twice, the same both times."""

from __future__ import annotations

from otel_workflow.version import VERSION
from tests.architecture.source import pyproject


def test_the_version_equals_the_projects() -> None:
    assert pyproject()["project"]["version"] == VERSION
