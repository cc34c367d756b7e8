"""The gate's phases, each a real check by a real child process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import otel_workflow as ow
from otel_workflow.cli.gate.children import Children

__all__ = ("TestsFailedError", "run_gate")


class TestsFailedError(Exception):
    """Tests of the checked package do not pass."""


def run_gate(children: Children) -> ow.Workflow:
    """Run the gate as a workflow and return its run, which has ended by then."""
    with ow.workflow("demo", action="BUILD") as run:
        _compile(children)
        with ThreadPoolExecutor(max_workers=4) as pool:
            try:
                _wait_for([pool.submit(check, run, children) for check in _CHECKS])
            except KeyboardInterrupt:
                children.kill_all()
                raise
        _changelog()
    return run


def _wait_for(checks: list[Future[None]]) -> None:
    """Wait for all; tests that fail do not stop the gate, anything unexpected does."""
    wait(checks)
    for check in checks:
        error = check.exception()
        if error is not None and not isinstance(error, TestsFailedError):
            raise error


def _compile(children: Children) -> None:
    with ow.phase("compile", type="build") as phase:
        done = children.run("-m", "compileall", "-q", "shop", env=phase.child_env())
        if done.code:
            phase.fail(done.said)


def _lint(run: ow.Workflow, children: Children) -> None:
    """Fails without an exception: the phase is told so, and tells the run."""
    with ow.phase("lint", parent=run) as phase:
        done = children.run("lint.py", "shop", env=phase.child_env())
        findings = done.said.splitlines()
        if done.code:
            phase.fail(f"{len(findings)} finding{'s' if len(findings) > 1 else ''}: {'; '.join(findings)}")


def _test(run: ow.Workflow, children: Children) -> None:
    """Fails with an exception; its tests are phases of the child process."""
    with ow.phase("test", type="test", parent=run) as phase:
        done = children.run("run_tests.py", env=phase.child_env())
        if done.code:
            failed, _, total = done.said.rpartition("\n")[2].partition(" ")
            raise TestsFailedError(f"{failed} of {total} tests failed")


def _docs(run: ow.Workflow, children: Children) -> None:
    with ow.phase("docs", parent=run) as phase:
        done = children.run("-m", "doctest", "shop/prices.py", env=phase.child_env())
        if done.code:
            phase.fail(done.said)


def _integration(run: ow.Workflow, children: Children) -> None:
    """A worker with a phase of its own is killed in the middle of it; nobody marks anything."""
    worker = children.start("worker.py", env=run.child_env())
    if worker.stdout is not None:
        worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    worker.communicate()


def _changelog() -> None:
    with ow.phase("changelog") as phase:
        phase.skip("no changelog to check")


_CHECKS: tuple[Callable[[ow.Workflow, Children], None], ...] = (_lint, _test, _docs, _integration)
