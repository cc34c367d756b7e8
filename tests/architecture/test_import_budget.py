"""``import otel_workflow`` costs hardly more than the API it stands on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

HEAVY = {"opentelemetry.sdk", "opentelemetry.exporter", "pydantic", "asyncio", "anyio", "trio", "rich", "typer"}
RATIO = 1.3


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh process and return the modules it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_the_import_loads_nothing_heavy() -> None:
    assert set() == HEAVY & loaded_by("import otel_workflow")


def test_the_import_loads_hardly_more_modules_than_the_api() -> None:
    ours, theirs = loaded_by("import otel_workflow"), loaded_by("import opentelemetry.trace")
    assert "otel_workflow" in ours
    assert len(ours) <= RATIO * len(theirs)


@pytest.mark.parametrize(
    "use",
    [
        "otel_workflow.phase",
        "with otel_workflow.workflow('w'), otel_workflow.phase('p') as phase: phase.fail('x')",
        "otel_workflow.get_bus().publish_nowait('phase.started')",
    ],
)
def test_an_unconfigured_use_loads_nothing_heavy_that_the_api_does_not(use: str) -> None:
    assert set() == (HEAVY & loaded_by(f"import otel_workflow\n{use}")) - loaded_by("import opentelemetry.trace")


def test_what_is_loaded_is_seen() -> None:
    assert {"asyncio", "opentelemetry.sdk"} <= loaded_by("import asyncio, opentelemetry.sdk.trace")
