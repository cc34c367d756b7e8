"""Downstream: what happened, told to people and programs from the journal alone.

Reads the journal through the fold; needs no OpenTelemetry SDK, no server and no network. A name
is loaded at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_workflow.report.compact import tree_text
    from otel_workflow.report.document import run_document, run_summary
    from otel_workflow.report.find import find_run
    from otel_workflow.report.load import load_runs
    from otel_workflow.report.style import PLAIN, Style
    from otel_workflow.report.text import waterfall

__all__ = ("PLAIN", "Style", "find_run", "load_runs", "run_document", "run_summary", "tree_text", "waterfall")

_HOMES = {
    "PLAIN": "style",
    "Style": "style",
    "find_run": "find",
    "load_runs": "load",
    "run_document": "document",
    "run_summary": "document",
    "tree_text": "compact",
    "waterfall": "text",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'otel_workflow.report' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value
