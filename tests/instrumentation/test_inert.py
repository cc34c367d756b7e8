"""Unconfigured means inert: nothing is recorded, nothing breaks, hardly anything is done."""

import subprocess
import sys
import textwrap


def run(program: str, **environ: str) -> str:
    """Run a program in a process of its own, where nothing was configured before."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


BODY = """
    import otel_workflow as ow
    with ow.workflow("w") as run, ow.phase("p") as phase:
        phase.set_attribute("a", 1)
        phase.progress(1, 2)
        phase.fail("x")
        assert phase.child_env({"A": "1"}) == {"A": "1"}
        assert run.url is None
        print(repr(phase.trace_id), phase.span.is_recording(), ow.current_phase() is phase)
"""


def test_without_configuration_a_phase_is_inert() -> None:
    """It has no ids, its span does not record, and the same object serves everywhere."""
    assert "'' False True" == run(BODY)


def test_otel_sdk_disabled_switches_everything_off() -> None:
    """Even where OW_JOURNAL asks for recording."""
    assert "'' False True" == run(BODY, OTEL_SDK_DISABLED="true", OW_JOURNAL="/nonexistent/j")


def test_ow_disabled_switches_only_us_off() -> None:
    """The same with our own switch."""
    assert "'' False True" == run(BODY, OW_DISABLED="yes", OW_JOURNAL="/nonexistent/j")


def test_listeners_are_called_although_recording_is_off() -> None:
    """Subscribers of the bus get every event; nothing is journalled."""
    program = """
        import otel_workflow as ow
        import threading
        seen, done = [], threading.Event()
        def handler(event):
            seen.append((event.type, event.payload["name"]))
            if len(seen) == 2: done.set()
        ow.get_bus().subscribe(None, handler)
        with ow.phase("p"): pass
        assert done.wait(10)
        print(seen)
    """
    assert "[('phase.started', 'p'), ('phase.completed', 'p')]" == run(program, OW_DISABLED="1")


def test_configure_when_disabled_gives_a_runtime_that_is_off() -> None:
    """The caller need not ask."""
    program = """
        import otel_workflow as ow
        runtime = ow.configure()
        print(runtime.lane, runtime.journal, runtime.flush(), runtime.shutdown())
    """
    assert "off None True True" == run(program, OTEL_SDK_DISABLED="true")


def test_a_journal_in_the_environment_is_enough_to_record(tmp_path: object) -> None:
    """A spawned worker that never calls configure() records."""
    program = """
        import otel_workflow as ow, os
        with ow.workflow("w") as run:
            print(len(run.trace_id), [n for n in os.listdir(os.environ["OW_JOURNAL"]) if n.endswith(".owj")] != [])
    """
    assert "32 True" == run(program, OW_JOURNAL=f"{tmp_path}/j")
