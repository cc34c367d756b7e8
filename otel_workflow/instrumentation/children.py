"""The short way to most phases: one inside another of the same recorder, with nothing said about it.

Its trace, run and sampling are those of the phase around it, so nobody is asked. Gives exactly what
``parentage`` and ``spans`` give; a test compares the records of both ways.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from otel_workflow.instrumentation.phases import Phase
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.journal.record import NESTED, SAMPLED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from otel_workflow.instrumentation.recorder import Recorder
    from otel_workflow.instrumentation.spec import Spec

__all__ = ("child_of",)

_IDS = struct.Struct(">16sQ8s")
_INTERNAL = SpanKind.INTERNAL


def child_of(
    outer: Phase | None,
    span: Any,
    spec: Spec,
    recorder: Recorder,
    previous: Context,
    times: tuple[int, int],
    initial: Mapping[str, Any],
) -> Phase | None:
    """Return a phase inside ``outer``, or None where it takes more to tell what it belongs to.

    ``span`` is the current one; ``times`` are the start in ns and what the monotonic clock said.
    """
    if (
        outer is None
        or outer.span is not span
        or outer._recorder is not recorder
        or not isinstance(span, PhaseSpan)
        or spec.is_run
        or spec.parent is not None
        or spec.links != ()
    ):
        return None
    around = span.ids
    ids = _IDS.pack(around[:16], recorder.ids.span_id(), around[16:24])
    context = span.get_span_context()
    made = PhaseSpan(spec.name, ids, context, times[0], recorder, span.sampled, _INTERNAL, span.trace_state, initial)
    phase = Phase(spec, recorder, made, previous, *times)
    phase.run_id, phase._workflow_name, phase._run_said = outer.run_id, outer._workflow_name, outer._run_said
    phase._outer, phase._nested = outer, True
    phase._flags = NESTED | SAMPLED if span.sampled else NESTED
    return phase
