"""Our tracer provider: libraries' spans go to the journal, and a phase's span is ours.

Installed once for the process; what it records into can be exchanged and taken away, since
OpenTelemetry lets nobody replace a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    StaticSampler,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer
from opentelemetry.util._decorator import _agnosticcontextmanager

from otel_workflow import semconv
from otel_workflow.guard import guarded
from otel_workflow.instrumentation.lifecycle import begin, finish
from otel_workflow.instrumentation.recorder import Recorder
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.instrumentation.spec import Spec

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource

    from otel_workflow.instrumentation.phases import Phase

__all__ = ("WorkflowTracerProvider", "sampler_of")


class WorkflowTracerProvider(TracerProvider):
    """The SDK's provider, whose tracers make a phase of every span that names a CI/CD task.

    ``recorder`` is what phases are recorded by, or None after shutdown; ``bridge_processor`` is
    ours, all others belong to users and get phases as ReadableSpans.
    """

    def __init__(self, resource: Resource, bridge_processor: SpanProcessor) -> None:
        super().__init__(resource=resource, shutdown_on_exit=False)
        self.recorder: Recorder | None = None
        self.bridge_processor = bridge_processor
        super().add_span_processor(bridge_processor)
        self.user_processors: list[SpanProcessor] = []

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Register a user's processor; it sees phases and library spans alike."""
        super().add_span_processor(span_processor)
        self.user_processors.append(span_processor)
        if self.recorder is not None:
            self.connect(self.recorder)

    def connect(self, recorder: Recorder) -> None:
        """Record into this recorder from now on."""
        self.recorder = recorder
        if self.user_processors:
            recorder.on_start, recorder.on_end = self._start, self._end

    def _start(self, span: Any, context: Any) -> None:
        for processor in self.user_processors:
            processor.on_start(span, context)

    def _end(self, span: Any) -> None:
        if not isinstance(span, PhaseSpan):
            return
        readable = _readable(span, self.resource)
        for processor in self.user_processors:
            processor.on_end(readable)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Tracer:
        """Return a tracer that hands named tasks to us and everything else to the SDK."""
        inner = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        return _WorkflowTracer(inner, lambda: self.recorder)


class _WorkflowTracer(Tracer):
    """Makes a phase of a span with ``cicd.pipeline.task.name``; library authors need only the API."""

    def __init__(self, inner: Tracer, recorder: Callable[[], Recorder | None]) -> None:
        self._inner = inner
        self._recorder = recorder

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span, which is a phase if its attributes name a task and a recorder is in force."""
        recorder = self._recorder()
        if recorder is not None and attributes and semconv.TASK_NAME in attributes and start_time is None:
            made: Span | None = guarded(None, _phase_span, recorder, name, context, attributes, links or ())
            if made is not None:
                return made
        return self._inner.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """Start a span and make it current for a block."""
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        ending = getattr(span, "on_end", None)
        if isinstance(ending, _PhaseEnd) and end_on_exit and record_exception and set_status_on_exception:
            with ending, trace.use_span(span, record_exception=False, set_status_on_exception=False) as current:
                yield current
            return
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception) as current:
            yield current


def _phase_span(
    recorder: Recorder, name: str, context: Context | None, attributes: Mapping[str, Any], links: Sequence[Link]
) -> Span:
    parent = None if context is None else trace.get_current_span(context).get_span_context()
    task = str(attributes[semconv.TASK_NAME]) or name
    phase = begin(Spec(task, links=tuple(links), parent=parent), recorder, attributes)
    attach(phase._previous)  # a tracer's start_span makes nothing current
    if isinstance(phase.span, PhaseSpan):
        phase.span.on_end = _PhaseEnd(phase)
    return phase.span


class _PhaseEnd:
    """Ends a phase that a tracer made: called by its span's ``end()``, or as the block around it.

    The block sees what leaves it, so that a cancellation is one and a caught exception is handled.
    """

    def __init__(self, phase: Phase) -> None:
        self._phase = phase

    def __call__(self, _time: int | None) -> None:
        finish(self._phase, None)

    def __enter__(self) -> None:
        """Nothing: the phase began with its span."""

    def __exit__(self, kind: object, error: BaseException | None, stack: object, /) -> None:
        guarded(None, finish, self._phase, error)


def _readable(span: PhaseSpan, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(name, attributes, time_ns) for time_ns, name, attributes in span.events],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=InstrumentationScope(semconv.SCOPE_NAME, schema_url=semconv.SCHEMA_URL),
    )


def sampler_of(sampler: Sampler) -> Callable[[SpanContext | None, int, str, dict[str, Any]], bool] | None:
    """Return the question that is asked once per root, or None where the answer is always yes."""
    root = getattr(sampler, "_root", sampler) if isinstance(sampler, ParentBased) else sampler
    if isinstance(root, StaticSampler) and root.get_description() == "AlwaysOnSampler":
        return None

    def sampled(parent: SpanContext | None, trace_id: int, name: str, attributes: dict[str, Any]) -> bool:
        context = None if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent))
        result = sampler.should_sample(context, trace_id, name, SpanKind.INTERNAL, attributes)
        return result.decision is Decision.RECORD_AND_SAMPLE

    return sampled
