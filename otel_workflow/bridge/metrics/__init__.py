"""Exact numbers: runs and phases become metrics, counted once, shown when they are on disk.

``facts.py`` says what is counted, ``writer.py`` counts it, ``state.py`` keeps it, ``page.py`` and
``request.py`` show it, ``pushing.py`` sends it. The daemon loads it, and a worker that pushes for itself
(``own.py``); no other recording process does.
"""

from __future__ import annotations

from otel_workflow.bridge.metrics.facts import Began, Finished, began_of, finished_of
from otel_workflow.bridge.metrics.limits import Limits
from otel_workflow.bridge.metrics.page import Page
from otel_workflow.bridge.metrics.runs import ActiveRun
from otel_workflow.bridge.metrics.writer import MetricsWriter

__all__ = ("ActiveRun", "Began", "Finished", "Limits", "MetricsWriter", "Page", "began_of", "finished_of")
