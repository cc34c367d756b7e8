"""CI: which provider's job this is, the ids that everybody computes for it, and its root span.

Everything is read from an environment that is given, so that it can be told of a job elsewhere.
"""

from __future__ import annotations

from otel_workflow.ci.contracts import CONTRACTS, ids_of
from otel_workflow.ci.providers import Job, detect
from otel_workflow.ci.results import outcome_named
from otel_workflow.ci.root import root_records

__all__ = ("CONTRACTS", "Job", "detect", "ids_of", "outcome_named", "root_records")
