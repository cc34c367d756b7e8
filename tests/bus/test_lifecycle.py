"""Forks, signals, ``__del__`` and the end of the interpreter: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIGNAL_SECONDS = float(os.environ.get("OW_TEST_SIGNAL_SECONDS", "3"))

PREFACE = "import atexit, gc, os, signal, sys, threading, time\n"


def run(program: str, *, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a program with every warning an error; it must end well and in time."""
    code = (
        PREFACE
        + "from otel_workflow.bus import WorkflowEventBus, get_bus\nbus = WorkflowEventBus()\n"
        + BOOKS
        + textwrap.dedent(program)
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


BOOKS = """
def quiet(bus, seconds=5):
    end = time.monotonic() + seconds
    while bus.statistics().queued and time.monotonic() < end:
        time.sleep(0.001)
    b = bus.statistics()
    assert b.queued == 0, b
    assert b.published == b.delivered + sum(b.dropped.values()), b
    return b
"""


def test_importing_the_bus_loads_no_loop_and_starts_no_thread() -> None:
    run("""
        for name in ("asyncio", "anyio", "trio", "pydantic", "opentelemetry"):
            assert name not in sys.modules, name
        bus.subscribe("a.b", print)
        assert threading.active_count() == 1
        assert "asyncio" not in sys.modules
    """)


def test_a_sync_handler_needs_no_asyncio() -> None:
    run("""
        bus.subscribe("a.b", lambda event: None, max_retries=1)
        bus.publish_nowait("a.b")
        quiet(bus)
        assert "asyncio" not in sys.modules
    """)


def test_idle_threads_go_away() -> None:
    run("""
        from otel_workflow.bus import threads, timers, own_loop
        threads.LINGER = timers.LINGER = own_loop.LINGER = 0.05
        bus.subscribe("a.b", lambda event: None, timeout=0.1)
        async def handler(event): pass
        bus.subscribe("a.b", handler)
        for _ in range(3):
            bus.publish_nowait("a.b")
            quiet(bus)
            assert threading.active_count() > 1
            end = time.monotonic() + 5
            while threading.active_count() > 1:
                assert time.monotonic() < end, threading.enumerate()
                time.sleep(0.01)
    """)


def test_what_waits_at_exit_is_delivered() -> None:
    done = run("""
        def handler(event):
            time.sleep(0.01)
            print("sync", event.payload["n"], flush=True)
        async def handler2(event):
            print("async", event.payload["n"], flush=True)
        bus.subscribe("a.b", handler)
        bus.subscribe("a.b", handler2)
        for n in range(5):
            bus.publish_nowait("a.b", {"n": n})
    """)
    assert sorted(done.stdout.split("\n")) == sorted(
        [f"{kind} {n}" for kind in ("sync", "async") for n in range(5)] + [""]
    )


def test_a_hanging_handler_does_not_keep_the_process_from_ending() -> None:
    run(
        """
        begun = threading.Semaphore(0)
        def sync(event):
            begun.release()
            time.sleep(1000)
        async def hang(event):
            begun.release()
            time.sleep(1000)
        bus.subscribe("a.b", sync)
        bus.subscribe("a.b", hang)
        bus.publish_nowait("a.b")
        assert begun.acquire(timeout=4) and begun.acquire(timeout=4)
        """,
        timeout=20,
    )


def test_publishing_at_exit_never_raises() -> None:
    run("""
        atexit.register(lambda: bus.publish_nowait("a.b"))
        bus.subscribe("a.b", lambda event: None)
        atexit.register(lambda: bus.publish_nowait("a.b"))
        class Late:
            def __del__(self):
                bus.publish_nowait("a.b")
        sys.late = Late()
    """)


def test_publishing_first_at_exit_when_no_thread_can_start_never_raises() -> None:
    run("""
        import asyncio
        async def handler(event): pass
        def late():
            bus.publish_nowait("a.b")
            r = asyncio.run(bus.publish("a.b", timeout=2)).results
            time.sleep(0.05)
            b = bus.statistics()
            assert b.published == b.delivered + b.queued + sum(b.dropped.values()), b
        atexit.register(late)
        bus.subscribe("a.b", lambda event: None)
        bus.subscribe("a.b", handler)
        atexit.unregister(__import__("otel_workflow.bus.lifecycle", fromlist=["x"])._at_exit)
    """)


def test_no_thread_at_all_is_a_counted_drop() -> None:
    run("""
        import _thread
        def refuse(*args):
            raise RuntimeError("can't start new thread")
        from otel_workflow.bus import threads
        threads._thread = type("T", (), {"start_new_thread": staticmethod(refuse)})
        async def handler(event): pass
        bus.subscribe("a.b", lambda event: None)
        bus.subscribe("a.b", handler)
        for _ in range(3):
            bus.publish_nowait("a.b")
        assert quiet(bus).dropped == {"no_thread": 6}
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_begins_with_empty_queues_and_threads_of_its_own() -> None:
    done = run("""
        gate = threading.Event()
        def handler(event):
            gate.wait(5)
            os.write(1, f"{event.payload['who']} ".encode())
        bus.subscribe("a.b", handler)
        quiet(bus)
        for _ in range(3):
            bus.publish_nowait("a.b", {"who": "parent"})
        time.sleep(0.05)
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a handler is running: the warning is right
            pid = os.fork()
        gate.set()
        if pid == 0:
            assert bus.statistics().published == 0
            bus.publish_nowait("a.b", {"who": "child"})
            quiet(bus)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        quiet(bus)
    """)
    assert sorted(done.stdout.split()) == ["child"] + ["parent"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forking_beside_an_idle_bus_gives_no_warning() -> None:
    """Python 3.12 warns of threads at a fork; ours have ended by then, and come back."""
    run("""
        async def own(event): pass
        bus.subscribe("a.b", lambda event: None, timeout=5)
        bus.subscribe("a.b", own)
        for _ in range(3):
            bus.publish_nowait("a.b")
            quiet(bus)
            pid = os.fork()
            if pid == 0:
                bus.publish_nowait("a.b")
                quiet(bus)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_running_loop_delivers_in_a_loop_of_its_own() -> None:
    done = run("""
        import asyncio
        async def main():
            async def handler(event):
                os.write(1, f"{event.payload['who']} ".encode())
            bus.subscribe("a.b", handler)
            bus.publish_nowait("a.b", {"who": "parent"})
            pid = os.fork()
            if pid == 0:
                bus.publish_nowait("a.b", {"who": "child"})
                quiet(bus)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            while bus.statistics().queued:
                await asyncio.sleep(0)
        asyncio.run(main())
    """)
    assert sorted(done.stdout.split()) == ["child", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_retry_in_waiting_survives_a_fork_in_the_parent_only() -> None:
    done = run("""
        import logging; logging.disable()
        tried = []
        def handler(event):
            tried.append(1)
            if len(tried) == 1:
                raise OSError
            os.write(1, b"done ")
        bus.subscribe("a.b", handler, max_retries=1, retry_backoff=0.2)
        bus.publish_nowait("a.b")
        while not tried:
            time.sleep(0.001)
        time.sleep(0.02)
        pid = os.fork()
        if pid == 0:
            time.sleep(0.4)
            os._exit(0)
        os.waitpid(pid, 0)
        quiet(bus)
    """)
    assert done.stdout.split() == ["done"]


SIGNALS = """
import logging
logging.disable()  # a handler that is cut off with its loop is a failure, and logged
count = [0]
async def own(event): pass
def sync(event): pass
bus.subscribe("a.*", own)
bus.subscribe("a.*", sync, max_concurrent=2)
bus.subscribe("a.*", own, max_items=3)
def on_signal(signum, frame):
    count[0] += 1
    bus.publish_nowait("a.b", {"n": count[0]})
signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + SECONDS
"""


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="needs setitimer")
@pytest.mark.timeout(SIGNAL_SECONDS + 60)
@pytest.mark.parametrize(
    "body",
    [
        """
while time.monotonic() < end:
    bus.publish_nowait("a.c")
    threading.Thread(target=lambda: None).start()
    name = bus.subscribe("a.d", sync)
    bus.statistics()
    bus.unsubscribe(name)
""",
        """
import asyncio
async def main():
    async def here(event):
        await asyncio.sleep(0)
    bus.subscribe("a.*", here)
    bus.subscribe("a.*", own)
    while time.monotonic() < end:
        await bus.publish("a.c", timeout=5)
        await asyncio.sleep(0.0005)  # so that some signals find the loop asleep
asyncio.run(main())
""",
        """
import trio
async def main():
    async def here(event):
        await trio.sleep(0)
    bus.subscribe("a.*", here)
    while time.monotonic() < end:
        await bus.publish("a.c", timeout=5)
        await trio.sleep(0.0005)
    # trio takes its own wake-up socket down before it takes it from Python; a signal in between is noted on stderr.
    signal.setitimer(signal.ITIMER_REAL, 0)
trio.run(main)
""",
    ],
    ids=["threads", "asyncio", "trio"],
)
def test_publishing_from_a_signal_handler_at_1_khz_never_deadlocks(body: str) -> None:
    seconds = SIGNAL_SECONDS / 3
    program = (
        SIGNALS.replace("SECONDS", str(seconds))
        + body
        + "signal.setitimer(signal.ITIMER_REAL, 0)\nquiet(bus)\nassert count[0] > 50 * SECONDS, count\n".replace(
            "SECONDS", str(seconds)
        )
    )
    run(program, timeout=seconds + 30)


def test_a_signal_wakes_a_sleeping_loop() -> None:
    run("""
        import asyncio
        async def main():
            got = asyncio.Event()
            async def handler(event):
                got.set()
            bus.subscribe("a.b", handler)
            signal.signal(signal.SIGALRM, lambda *_: bus.publish_nowait("a.b"))
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            async with asyncio.timeout(2):
                await got.wait()
        asyncio.run(main())
    """)


def test_publishing_from_del_in_the_garbage_collector_never_deadlocks() -> None:
    run("""
        class Cycle:
            def __init__(self):
                self.me = self
            def __del__(self):
                bus.publish_nowait("a.b")
        async def own(event):
            Cycle()
        def sync(event):
            Cycle()
        bus.subscribe("a.*", own, max_items=50)
        bus.subscribe("a.*", sync, max_items=50)
        gc.set_threshold(1, 1, 1)
        for _ in range(300):
            Cycle()
            bus.publish_nowait("a.c")
        gc.disable()
        gc.collect()
        gc.set_threshold(700, 10, 10)
        end = time.monotonic() + 10
        quiet(bus, 10)
    """)


def test_a_bus_that_is_forgotten_is_collected() -> None:
    run("""
        import weakref
        other = WorkflowEventBus()
        other.subscribe("a.b", lambda event: None)
        other.publish_nowait("a.b")
        quiet(other)
        from otel_workflow.bus import threads
        other._crew.dismiss(); other._timers.dismiss()
        seen = weakref.ref(other)
        del other
        end = time.monotonic() + 5
        while seen() is not None and time.monotonic() < end:
            gc.collect()
            time.sleep(0.01)
        assert seen() is None
    """)
