"""Where a phase belongs: its parent, its run, and whether its trace is exported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext

from otel_workflow.instrumentation.bodies import run_body
from otel_workflow.instrumentation.context import span_context
from otel_workflow.instrumentation.phases import Phase
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.values import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("find_parent", "is_sampled", "name_run")


def find_parent(
    spec: Spec, recorder: Recorder, outer: Phase | None, span: Any
) -> tuple[SpanContext | None, Phase | None, bool]:
    """Return (parent context, enclosing phase of ours, whether it was only inferred)."""
    if isinstance(span, PhaseSpan) and spec.parent is None and outer is not None and outer.span is span:
        return span.get_span_context(), outer, False  # by far the most
    if isinstance(spec.parent, Phase):
        return span_context(spec.parent.span), (spec.parent if spec.parent.span_id else None), False
    if isinstance(spec.parent, SpanContext):
        return (spec.parent if spec.parent.is_valid else None), None, False
    context = span_context(span)
    if context is not None:
        same_trace = outer is not None and outer.span.get_span_context().trace_id == context.trace_id
        return context, (outer if same_trace else None), False
    if not spec.is_run and len(recorder.open_runs) == 1:
        run = next(iter(recorder.open_runs.values()))
        return span_context(run.span), run, True
    return recorder.environment_parent, None, False


def name_run(phase: Phase, recorder: Recorder, parent: SpanContext | None) -> None:
    """Give the phase its run: the enclosing one's, or that of the environment, or its own."""
    spec, outer = phase._spec, phase._outer
    if outer is not None:
        phase.run_id, phase._workflow_name, phase._run_said = outer.run_id, outer._workflow_name, outer._run_said
        phase._nested = True
        return
    phase._nested = parent is not None and recorder.environment_nested
    if phase._nested:
        phase._workflow_name = clean_text(os.environ.get("OW_WORKFLOW", ""), 256)
    elif spec.is_run:
        phase._workflow_name = clean_text(spec.name, 256)
    phase.run_id = clean_text(spec.run_id, 256) if spec.run_id and not phase._nested else phase.trace_id
    phase._run_said = run_body(phase.run_id, phase._workflow_name)
    if recorder.first_run is not None:
        recorder.first_run(phase._workflow_name or clean_text(spec.name, 256))


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
        span = outer.span
        return span.sampled if isinstance(span, PhaseSpan) else span.get_span_context().trace_flags.sampled
    if recorder.sampler is not None:
        return recorder.sampler(parent, trace_id, name, dict(attributes))
    return True if parent is None else parent.trace_flags.sampled
