"""Downstream: what happened, told to people and programs from the journal alone.

Reads the journal through the fold; needs no OpenTelemetry SDK, no server and no network.
"""

from __future__ import annotations

from otel_workflow.report.compact import tree_text
from otel_workflow.report.document import run_document, run_summary
from otel_workflow.report.find import find_run
from otel_workflow.report.load import load_runs
from otel_workflow.report.style import PLAIN, Style
from otel_workflow.report.text import waterfall

__all__ = ("PLAIN", "Style", "find_run", "load_runs", "run_document", "run_summary", "tree_text", "waterfall")
