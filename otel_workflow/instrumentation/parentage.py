"""Where a phase belongs: its parent, its run, and whether its trace is exported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext

from otel_workflow.instrumentation.context import span_context
from otel_workflow.instrumentation.phases import Phase
from otel_workflow.instrumentation.progress import report_progress
from otel_workflow.instrumentation.run_facts import RunFacts
from otel_workflow.values import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import TraceState

    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("find_parent", "is_sampled", "run_of")


def find_parent(
    spec: Spec, recorder: Recorder, outer: Phase | None, between: Any
) -> tuple[SpanContext | None, Phase | None, bool]:
    """Return (parent context, enclosing phase of ours, whether it was only inferred).

    ``between`` is the current span where that is not the one of ``outer``.
    """
    if isinstance(spec.parent, Phase):
        return span_context(spec.parent.span), (spec.parent if spec.parent.span_id else None), False
    if isinstance(spec.parent, SpanContext):
        return (spec.parent if spec.parent.is_valid else None), None, False
    context = span_context(outer.span if outer is not None and between is None else between)
    if context is not None:
        same_trace = outer is not None and outer.span.get_span_context().trace_id == context.trace_id
        return context, (outer if same_trace else None), False
    if not spec.is_run and len(recorder.open_runs) == 1:
        run = next(iter(recorder.open_runs.values()))
        return span_context(run.span), run, True
    return recorder.environment_parent, None, False


def run_of(
    spec: Spec,
    recorder: Recorder,
    outer: Phase | None,
    trace: bytes,
    state: TraceState | None,
    *,
    sampled: bool,
    nested: bool,
) -> RunFacts:
    """Return the run of a phase: the enclosing one's, or that of the environment, or its own."""
    if outer is not None:
        run = outer._run
        if run.same_as(recorder, trace, state, sampled):
            return run
        return RunFacts(recorder, trace, state, sampled, run.run_id, run.workflow, report_progress)
    workflow = ""
    if nested:
        workflow = clean_text(os.environ.get("OW_WORKFLOW", ""), 256)
    elif spec.is_run:
        workflow = clean_text(spec.name, 256)
    run_id = clean_text(spec.run_id, 256) if spec.run_id and not nested else trace.hex()
    if recorder.first_run is not None:
        recorder.first_run(workflow or clean_text(spec.name, 256))
    return RunFacts(recorder, trace, state, sampled, run_id, workflow, report_progress)


def is_sampled(
    recorder: Recorder,
    parent: SpanContext | None,
    outer: Phase | None,
    trace_id: int,
    name: str,
    attributes: Mapping[str, Any],
) -> bool:
    """Ask the sampler once per root; below it the flag is inherited. It decides export only."""
    if recorder.lane == "off":
        return False
    if outer is not None:
        return outer._run.sampled
    if recorder.sampler is not None:
        return recorder.sampler(parent, trace_id, name, dict(attributes))
    return True if parent is None else parent.trace_flags.sampled
