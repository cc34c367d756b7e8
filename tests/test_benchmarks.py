"""The benchmarks are what the figures in our pages come from: each can be named, and loads."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHARED = {"__init__", "__main__", "caused", "timing"}


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_loads_and_has_a_main(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_every_benchmark_can_be_named() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - SHARED == set(NAMES)
