"""A run with a library's span in it that carries numbers which JSON does not know."""

from __future__ import annotations

from opentelemetry import trace

import otel_workflow as ow

ow.configure()
INF, NAN = float("inf"), float("nan")
with ow.workflow("odd"), trace.get_tracer("library").start_as_current_span("train") as span:
    span.set_attribute("loss", NAN)
    span.set_attribute("bounds", [-INF, 0.5, INF])
    span.set_attribute("rate", 0.25)
    span.add_event("step", {"gradient": INF})
