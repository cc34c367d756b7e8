"""Exact numbers: runs and phases become metrics, counted once, shown when they are on disk.

``facts.py`` says what is counted, ``writer.py`` counts it, ``state.py`` keeps it, ``page.py`` and
``request.py`` show it. Nothing here runs in a recording process; only the daemon loads it.
"""

from __future__ import annotations

from otel_workflow.bridge.metrics.facts import Began, Finished, began_of, finished_of
from otel_workflow.bridge.metrics.limits import Limits
from otel_workflow.bridge.metrics.page import Page
from otel_workflow.bridge.metrics.runs import ActiveRun
from otel_workflow.bridge.metrics.writer import MetricsWriter

__all__ = ("ActiveRun", "Began", "Finished", "Limits", "MetricsWriter", "Page", "began_of", "finished_of")
