"""What all phases of one run in one process have in common; each phase holds one reference to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from otel_workflow.journal.record import NESTED, SAMPLED, quoted

if TYPE_CHECKING:
    from opentelemetry.trace import TraceState

    from otel_workflow.instrumentation.recorder import Recorder

__all__ = ("RunFacts",)


class RunFacts:
    """A run, as far as its phases need it to say where they belong; nobody changes it.

    ``is_native`` says that no foreign SDK makes their spans, ``pid`` is the process in which they may
    end, ``trace`` the trace id in bytes. ``said`` is what their records say of the run, and ``tail``
    what they say of the trace's state. ``child_flags`` are the flags of a usual phase in it, and
    ``draw`` gives random bits for its id where the recorder's ids are random ones. ``reporter`` is
    called by ``Phase.progress``.
    """

    __slots__ = (
        "child_flags",
        "draw",
        "is_native",
        "pid",
        "recorder",
        "reporter",
        "run_id",
        "said",
        "sampled",
        "state",
        "tail",
        "trace",
        "workflow",
    )

    def __init__(
        self,
        recorder: Recorder | None,
        trace: bytes,
        state: TraceState | None,
        sampled: bool,
        run_id: str,
        workflow: str,
        reporter: Callable[[Any, float, float | None, str], None] | None = None,
    ) -> None:
        self.recorder: Recorder | None = recorder
        self.reporter: Callable[[Any, float, float | None, str], None] | None = reporter
        self.is_native: bool = recorder is not None and recorder.lane != "sdk"
        self.pid: int = os.getpid()
        self.trace: bytes = trace
        self.state: TraceState | None = state
        self.sampled: bool = sampled
        self.run_id: str = run_id
        self.workflow: str = workflow
        self.said: str = f',"run":{quoted(run_id)}'
        if workflow:
            self.said += f',"workflow":{quoted(workflow)}'
        self.tail: str = f',"tracestate":{quoted(state.to_header())}' if state else ""
        self.draw: Callable[[int], int] | None = None if recorder is None else getattr(recorder.ids, "draw", None)
        self.child_flags: int = NESTED | SAMPLED if sampled else NESTED

    def same_as(self, recorder: Recorder, trace: bytes, state: TraceState | None, sampled: bool) -> bool:
        """Tell whether a phase of this recorder, trace and process can share these facts."""
        return (
            self.recorder is recorder
            and self.pid == os.getpid()
            and self.trace == trace
            and self.sampled == sampled
            and self.state is state
        )
