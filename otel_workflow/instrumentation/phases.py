"""What user code holds inside a phase: marks, progress, and the way to children elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context

from otel_workflow.events import Outcome
from otel_workflow.guard import guarded, text_of
from otel_workflow.instrumentation.environment import describe
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.instrumentation.spec import Spec
from otel_workflow.instrumentation.verdict import MAX_REASON, Verdict
from otel_workflow.masking import MASK, masked_value
from otel_workflow.values import clean_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_workflow.instrumentation.recorder import Recorder

__all__ = ("INERT", "INERT_RUN", "Phase", "Workflow")

_EMPTY = Context()


class Phase:
    """A unit of work that is open now, or was; never None, and inert when telemetry is off.

    ``fail``, ``error``, ``skip`` and ``cancel`` mark: they never raise and never leave the block.
    The last mark wins; an exception that leaves the block outranks skip, cancel and success.
    Ids are lower-case hex, empty when inert.
    """

    __slots__ = (
        "__weakref__",
        "_apart",
        "_counted",
        "_due",
        "_ended",
        "_ending",
        "_flags",
        "_handed",
        "_holder",
        "_inferred",
        "_nested",
        "_outer",
        "_pid",
        "_previous",
        "_progress_held",
        "_progress_ns",
        "_recorder",
        "_reporter",
        "_run_said",
        "_seen_exception",
        "_sequence",
        "_spec",
        "_start_mono",
        "_start_ns",
        "_task",
        "_verdict",
        "_workflow_name",
        "run_id",
        "span",
    )

    def __init__(
        self,
        spec: Spec,
        recorder: Recorder | None,
        span: Span,
        previous: Context,
        start_ns: int = 0,
        start_mono: int = 0,
    ) -> None:
        self._spec: Spec = spec
        self._recorder: Recorder | None = recorder
        self.span: Span = span
        self._previous: Context = previous
        self._flags: int = 0
        self.run_id: str = ""
        self._workflow_name: str = ""
        self._run_said: str = ""
        self._outer: Phase | None = None
        self._reporter: Callable[[Phase, float, float | None, str], None] | None = None
        self._nested: bool = False
        self._inferred: bool = False
        self._apart: bool = False
        self._ended: bool = recorder is None
        self._counted: bool = False
        self._due: tuple[str, int, int, str, int] | None = None
        self._holder: Callable[[], object] | None = None
        self._verdict: Verdict | None = None
        self._handed: dict[str, Verdict] = {}
        self._seen_exception: int = 0
        self._start_ns: int = start_ns
        self._start_mono: int = start_mono
        self._sequence: int = 0
        self._progress_ns: int | None = None
        self._ending: dict[str, Any] | None = None
        self._progress_held: dict[str, Any] | None = None
        self._pid: int = 0
        self._task: int = 0

    @property
    def name(self) -> str:
        """The name it was opened with; empty when inert."""
        return self._spec.name

    @property
    def trace_id(self) -> str:
        """The id of its trace in lower-case hex; empty when inert."""
        if isinstance(self.span, PhaseSpan):
            return self.span.ids[:16].hex()
        return f"{self.span.get_span_context().trace_id:032x}" if self._recorder is not None else ""

    @property
    def span_id(self) -> str:
        """The id of its span in lower-case hex; empty when inert."""
        if isinstance(self.span, PhaseSpan):
            return self.span.ids[16:24].hex()
        return f"{self.span.get_span_context().span_id:016x}" if self._recorder is not None else ""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute of the phase's span; any value is taken, none raises."""
        if self._recorder is not None and self._recorder.lane == "sdk":  # a foreign span masks nothing
            value = guarded(MASK, masked_value, guarded("", text_of, key), value)
        self.span.set_attribute(key, value)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is; journalled at once, at most ten times a second, the last kept."""
        if self._reporter is not None and not self._ended:
            guarded(None, self._reporter, self, done, total, message)

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
        if self._recorder is not None and not self._ended:
            text = clean_text(text_of(reason), MAX_REASON)
            kind = clean_text(text_of(error_type), 256) if error_type is not None else None
            self._verdict = Verdict(outcome, text, kind)

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


INERT = Phase(Spec(""), None, trace.INVALID_SPAN, _EMPTY)
INERT_RUN = Workflow(Spec(""), None, trace.INVALID_SPAN, _EMPTY)
