"""What user code holds inside a phase: marks, progress, and the way to children elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_workflow.events import Outcome
from otel_workflow.guard import guarded, text_of
from otel_workflow.instrumentation.environment import describe
from otel_workflow.instrumentation.marks import Marks
from otel_workflow.instrumentation.run_facts import RunFacts
from otel_workflow.instrumentation.span import NO_STATE, PhaseSpan
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.instrumentation.verdict import MAX_REASON, Verdict
from otel_workflow.masking import MASK, masked, masked_value
from otel_workflow.values import clean_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_workflow.instrumentation.attributes import Kept
    from otel_workflow.instrumentation.recorder import Recorder

__all__ = ("INERT", "INERT_RUN", "Holder", "Phase", "Workflow")


class Holder(Protocol):
    """What a phase needs to know of the scope that ends it."""

    @property
    def _has_several(self) -> bool:
        """True if it ever had more than one phase open at once."""
        ...

    def _count(self) -> int:
        """Return how many phases it has open."""
        ...


_EMPTY = Context()


class Phase:
    """A unit of work that is open now, or was; never None, and inert when telemetry is off.

    ``fail``, ``error``, ``skip`` and ``cancel`` mark: they never raise and never leave the block.
    The last mark wins; an exception that leaves the block outranks skip, cancel and success.
    Ids are lower-case hex, empty when inert.
    """

    __slots__ = (
        "__weakref__",
        "_above",
        "_attributes",
        "_due",
        "_end_ns",
        "_flags",
        "_holder",
        "_marks",
        "_offset",
        "_outer",
        "_previous",
        "_run",
        "_sequence",
        "_span",
        "_span_id",
        "_spec",
        "_start_ns",
        "_task",
    )

    def __init__(
        self,
        spec: Spec,
        run: RunFacts,
        outer: Phase | None,
        previous: Context,
        span_id: bytes,
        above: bytes,
        start_ns: int,
        offset: int,
        flags: int,
        task: int,
        attributes: Kept,
        span: Span | None = None,
        end_ns: int | None = None,
    ) -> None:
        self._spec: Spec = spec
        self._run: RunFacts = run
        self._outer: Phase | None = outer
        self._previous: Context = previous
        self._span_id: bytes = span_id
        self._above: bytes = above
        self._start_ns: int = start_ns
        self._offset: int = offset
        self._flags: int = flags
        self._task: int = task
        self._attributes: Kept = attributes
        self._sequence: int = 0
        self._end_ns: int | None = end_ns
        self._due: bytes | None = None
        self._span: Span | None = span
        self._marks: Marks | None = None
        self._holder: Holder | None = None

    @property
    def span(self) -> Span:
        """Its OpenTelemetry span; in the native lane made when somebody asks, which nearly nobody does."""
        if self._span is None:
            made = _span_of(self)
            # Nothing is called between look and store: no thread and no signal handler comes in between.
            if self._span is None:
                self._span = made
        return self._span

    def _marked(self) -> Marks:
        """Return what is noted on it; several threads that come first at once all get the same."""
        if self._marks is None:
            made = Marks()
            if self._marks is None:
                self._marks = made
        return self._marks

    @property
    def run_id(self) -> str:
        """The id of its run; empty when inert."""
        return self._run.run_id

    @property
    def _workflow_name(self) -> str:
        return self._run.workflow

    @property
    def _recorder(self) -> Recorder | None:
        return self._run.recorder

    @property
    def _ended(self) -> bool:
        return self._end_ns is not None

    @property
    def name(self) -> str:
        """The name it was opened with; empty when inert."""
        return self._spec.name

    @property
    def trace_id(self) -> str:
        """The id of its trace in lower-case hex; empty when inert."""
        if self._span_id:
            return self._run.trace.hex()
        return f"{self.span.get_span_context().trace_id:032x}" if self._recorder is not None else ""

    @property
    def span_id(self) -> str:
        """The id of its span in lower-case hex; empty when inert."""
        if self._span_id:
            return self._span_id.hex()
        return f"{self.span.get_span_context().span_id:016x}" if self._recorder is not None else ""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of the phase's span; any value is taken, none raises."""
        if self._recorder is not None and self._recorder.lane == "sdk":  # a foreign span masks nothing
            value = guarded(MASK, masked_value, guarded("", text_of, key), value)
        self.span.set_attribute(key, value)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is; journalled at once, at most ten times a second, the last kept."""
        if self._end_ns is None and self._run.reporter is not None:
            guarded(None, self._run.reporter, self, done, total, message)

    def fail(self, reason: str = "", *, error_type: str | None = None) -> None:
        """Mark that the work failed, without an exception."""
        guarded(None, self._mark, Outcome.FAILURE, reason, error_type)

    def error(self, reason: str = "", *, error_type: str | None = None) -> None:
        """Mark that the system failed the work: a lost machine, a full disk."""
        guarded(None, self._mark, Outcome.ERROR, reason, error_type)

    def skip(self, reason: str = "") -> None:
        """Mark that it decided not to run."""
        guarded(None, self._mark, Outcome.SKIP, reason, None)

    def cancel(self, reason: str = "") -> None:
        """Mark that somebody asked for it to stop."""
        guarded(None, self._mark, Outcome.CANCELLATION, reason, None)

    def _mark(self, outcome: Outcome, reason: str, error_type: str | None) -> None:
        if self._end_ns is None:
            text = clean_text(text_of(reason), MAX_REASON)
            kind = clean_text(text_of(error_type), 256) if error_type is not None else None
            self._marked().verdict = Verdict(outcome, text, kind)

    def child_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a copy of an environment (default: this process's) in which a child finds us.

        It gains TRACEPARENT, OW_JOURNAL and OW_WORKFLOW; nothing else is changed.
        """
        made = dict(os.environ if env is None else env)
        if self._recorder is not None:
            ours: dict[str, str] = {}
            made.update(guarded(ours, self._environment))
        return made

    def _environment(self) -> dict[str, str]:
        """Return the variables that make a child process a child of this phase."""
        directory = getattr(self._recorder and self._recorder.journal, "directory", None)
        return describe(self.span.get_span_context(), self._workflow_name, directory)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the span context: in another process it serves as ``parent=``."""
        context = self.span.get_span_context()
        return _remote, (context.trace_id, context.span_id, int(context.trace_flags))


def _span_of(phase: Phase) -> PhaseSpan:
    """Return the span of a usual phase, one inside another of the same recorder, as of now."""
    run, spec = phase._run, phase._spec
    recorder: Any = run.recorder  # an inert phase has its span already
    made = PhaseSpan(
        masked(spec.name), run.trace + phase._span_id + phase._above, None, phase._start_ns, recorder,
        run.sampled, SpanKind.INTERNAL, run.state or NO_STATE, phase._attributes,
    )  # fmt: skip
    made.end_time = phase._end_ns
    return made


def _remote(trace_id: int, span_id: int, flags: int) -> trace.SpanContext:
    return trace.SpanContext(trace_id, span_id, True, trace.TraceFlags(flags))


class Workflow(Phase):
    """A run: the outermost phase, with a link to where its trace can be seen."""

    __slots__ = ()

    @property
    def url(self) -> str | None:
        """The address of its trace, from ``OW_TRACE_URL``; None when that is not set."""
        template = self._recorder.trace_url if self._recorder else None
        if not template:
            return None
        return template.replace("{trace_id}", self.trace_id).replace("{run_id}", self.run_id)


_NO_RUN = RunFacts(None, b"", None, False, "", "")
INERT = Phase(Spec(""), _NO_RUN, None, _EMPTY, b"", b"", 0, 0, 0, 0, None, trace.INVALID_SPAN, 0)
INERT_RUN = Workflow(Spec(""), _NO_RUN, None, _EMPTY, b"", b"", 0, 0, 0, 0, None, trace.INVALID_SPAN, 0)
