"""``otel-workflow demo``: a small real quality gate, its tree, and the next command to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_workflow.cli.options import AsJson, JournalDir
from otel_workflow.cli.own_name import own_name

if TYPE_CHECKING:
    from pathlib import Path

    from otel_workflow.instrumentation import Workflow
    from otel_workflow.runs import Run
    from otel_workflow.runtime import Runtime

__all__ = ("demo",)

_COULD_NOT_RUN = 1
_LOCAL = ("localhost", "127.0.0.1", "::1")


def demo(journal: JournalDir = None, as_json: AsJson = False) -> int:
    """Run a small real quality gate and show its tree; needs no server and no network.

    A little package is compiled, linted and tested in a temporary directory. Some of it fails on
    purpose, and one worker is killed in the middle. Exit code 0 all the same; 1 if the demo
    could not run.
    """
    from otel_workflow.cli.output import complain
    from otel_workflow.errors import JournalError

    try:
        return _demo(journal, as_json=as_json)
    except JournalError as error:
        complain(str(error))
        return _COULD_NOT_RUN


def _demo(given: Path | None, *, as_json: bool) -> int:
    import shlex

    from otel_workflow.cli.output import show, show_json, tell

    runtime = _start(given)
    tell("a small quality gate runs; one of its workers will be killed ...")
    try:
        run = _run()
    finally:
        delivered = runtime.shutdown()
    found = _read_back(runtime.journal, run.trace_id)
    if as_json:
        from otel_workflow.report import run_document

        show_json(run_document(found))
        return 0
    from otel_workflow.cli.output import screen_width, stdout_style
    from otel_workflow.report import waterfall

    show(waterfall(found, width=screen_width(), style=stdout_style()))
    show("")
    where = "" if given is None else f" --journal {shlex.quote(str(runtime.journal))}"
    for line in _next_steps(run, where, delivered=delivered):
        show(line)
    return 0


def _start(given: Path | None) -> Runtime:
    """Start recording; the demo is always a run of its own, whatever it is started from."""
    import os

    import otel_workflow as ow
    from otel_workflow.errors import ConfigError, JournalError

    for name in ("TRACEPARENT", "TRACESTATE", "OW_WORKFLOW"):
        os.environ.pop(name, None)
    runtime = ow.configure(journal=given)
    if runtime.lane == "off":
        raise ConfigError("recording is switched off", code="OW-124", hint="unset OTEL_SDK_DISABLED and OW_DISABLED")
    if runtime.journal is None:
        runtime.shutdown(timeout=0)
        raise JournalError("no journal directory can be written", code="OW-205", hint="name one with --journal DIR")
    return runtime


def _run() -> Workflow:
    import tempfile
    from pathlib import Path

    from otel_workflow.cli.gate.checks import run_gate
    from otel_workflow.cli.gate.children import Children
    from otel_workflow.cli.gate.project import write_project

    with tempfile.TemporaryDirectory(prefix="otel-workflow-demo-") as place:
        write_project(Path(place))
        with Children(Path(place)) as children:
            return run_gate(children)


def _read_back(directory: Path | None, trace_id: str) -> Run:
    """Return the run as the journal tells it: what is shown was on disk."""
    from otel_workflow.report import find_run, load_runs

    return find_run(load_runs(directory or ""), trace_id)


def _next_steps(run: Workflow, where: str, *, delivered: bool) -> list[str]:
    """Return where to look next: the trace if it was delivered, else the command that helps."""
    import os

    from otel_workflow.bridge.destination import Destination

    again = f"look again     {own_name()} report{where}"
    destination = Destination.from_environ(os.environ)
    if destination is None:
        return [again, f"see in Jaeger  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 {own_name()} ship{where}"]
    if not delivered:
        return [again, f"send it        {own_name()} ship{where}"]
    link = run.url or _local_link(destination.url, run.trace_id)
    return [again, f"see it         {link or f'trace {run.trace_id} at {destination.display}'}"]


def _local_link(url: str, trace_id: str) -> str:
    """Return Jaeger's page for a trace when the endpoint is on this machine."""
    from urllib.parse import urlsplit

    return f"http://localhost:16686/trace/{trace_id}" if urlsplit(url).hostname in _LOCAL else ""
