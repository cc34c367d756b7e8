"""Facts with fixed ids, a clock that is moved by hand, and a reader of pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_workflow.bridge.metrics import Began, Finished, MetricsWriter

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*?)\})? (\S+)(?: # .*)?")
_LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')


class Clock:
    """Wall time in ns, moved by hand."""

    def __init__(self) -> None:
        self.ns = START_NS

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)


def run_began(number: int, *, workflow: str = "ci", at: int = START_NS, queued: int | None = None) -> Began:
    return Began(f"{number:032x}", f"{number:016x}", True, workflow, "", "run", at, queued)


def run_finished(
    number: int,
    outcome: str = "success",
    error_type: str | None = None,
    *,
    workflow: str = "ci",
    start: int = START_NS,
    took: float = 0.05,
    **more: Any,
) -> Finished:
    end = start + round(took * SECOND)
    ids = f"{number:032x}", f"{number:016x}"
    return Finished(*ids, True, workflow, "", "run", outcome, error_type, start, end, **more)


def phase_finished(
    number: int,
    name: str = "lint",
    outcome: str = "success",
    error_type: str | None = None,
    *,
    trace: int = 1,
    workflow: str = "ci",
    detail: str = "phase",
    start: int = START_NS,
    took: float = 0.05,
    **more: Any,
) -> Finished:
    end = start + round(took * SECOND)
    ids = f"{trace:032x}", f"{number | 1 << 40:016x}"
    return Finished(*ids, False, workflow, name, detail, outcome, error_type, start, end, **more)


def samples(body: bytes | str) -> dict[str, float]:
    """The samples of a page by name and sorted labels, as ``name{a="b"}``."""
    text = body.decode() if isinstance(body, bytes) else body
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        labels = ",".join(f'{key}="{value}"' for key, value in sorted(_LABEL.findall(match[2] or "")))
        key = f"{match[1]}{{{labels}}}"
        assert key not in found, f"{key} twice"
        found[key] = float(match[3])
    return found


def scrape(writer: MetricsWriter) -> dict[str, float]:
    """A completed scrape: the page, read to its end."""
    page = writer.page(OPENMETRICS)
    writer.served(page.serial)
    return samples(page.body)


def opener(state: Path, clock: Clock) -> Callable[..., MetricsWriter]:
    """Open writers on one state, each as a new process would; those before count as killed."""
    living: list[MetricsWriter] = []

    def open_writer(**settings: Any) -> MetricsWriter:
        while living:
            living.pop().close()
        living.append(MetricsWriter(state, now=clock, **settings))
        return living[-1]

    return open_writer
