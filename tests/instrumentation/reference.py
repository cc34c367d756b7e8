"""What the records of a phase say, written the plain way: as an object that is then encoded.

The instrumentation writes the same as text, piece by piece; both must mean the same event.
"""

from __future__ import annotations

from typing import Any

from otel_workflow.instrumentation.phases import Phase
from otel_workflow.instrumentation.verdict import Verdict
from otel_workflow.masking import masked
from otel_workflow.values import clean_attributes, clean_text

__all__ = ("end_object", "start_object")


def _identity(phase: Phase) -> dict[str, Any]:
    spec = phase._spec
    subject = "workflow" if spec.is_run and spec.subject == "phase" else spec.subject
    return {
        "name": clean_text(spec.name, 1024),
        "run": phase.run_id,
        "workflow": phase._workflow_name,
        "subject": subject,
        "action": spec.action,
        "task_type": spec.task_type,
        "detail": spec.detail,
        "attempt": spec.attempt,
        "payload": _masked(clean_attributes(spec.payload)),
        "source": spec.source,
    }


def start_object(phase: Phase, attributes: dict[Any, Any] | None) -> dict[str, Any]:
    """Return the body of a start record; ``attributes`` are what it was opened with."""
    return {**_identity(phase), "attributes": _masked(clean_attributes(attributes))}


def end_object(phase: Phase, verdict: Verdict, own: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an end record; ``own`` are the attributes that were set."""
    return {
        **_identity(phase),
        "start": phase._start_ns,
        "outcome": verdict.outcome.value,
        "reason": masked(verdict.reason),
        "error_type": verdict.error_type,
        "attributes": _masked(clean_attributes(own)),
    }


def _masked(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: masked(value) if type(value) is str else value for key, value in attributes.items()}
