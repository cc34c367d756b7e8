"""The context of an open phase: what OpenTelemetry and everybody else can ask of a context, it answers."""

from __future__ import annotations

import copy
import os
import sys
import threading

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value
from opentelemetry.trace.propagation import _SPAN_KEY

import otel_workflow as ow
from otel_workflow.instrumentation.context import PhaseContext
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.testing import capture_workflow

KEY = create_key("somebody's")


def test_a_context_of_a_phase_reads_like_a_copy_with_the_phase_and_its_span_in_it() -> None:
    token = attach(set_value(KEY, 7))
    with capture_workflow(), ow.workflow("run"), ow.phase("p") as phase:
        context = get_current()
        plain = context.copy()
        assert PhaseContext is type(context)
        assert dict is type(plain)
        assert (7, phase.span) == (plain[KEY], plain[_SPAN_KEY])
        assert 3 == len(plain) == len(context)
        assert plain == dict(context) == {**context} == dict(context.items()) == {k: context[k] for k in context}
        assert list(plain.values()) == list(context.values())
        assert [*plain.keys()] == [*context.keys()] == [*reversed([*reversed(context)])]
        assert plain == context == Context(context)
        assert not context != plain  # noqa: SIM202 - that is what is asked here
        assert context != {}
        assert ({**plain, "a": 1}, {"a": 1, **plain}) == (context | {"a": 1}, {"a": 1} | context)
        assert (True, False) == (KEY in context, "other" in context)
        assert (7, None, 8) == (context.get(KEY), context.get("other"), context.get("other", 8))
        assert repr(plain) == repr(context)
        assert context
        assert plain == copy.copy(context)
        with pytest.raises(KeyError):
            context["other"]
        with pytest.raises(ValueError):
            context["other"] = 1
    detach(token)


def test_what_is_put_on_top_of_a_phase_keeps_it_and_what_was_below_is_seen_through_many() -> None:
    with capture_workflow() as captured, ow.workflow("run"):
        token = attach(baggage.set_baggage("who", "me"))
        entered = [ow.phase(f"p{number}") for number in range(2000)]
        for scope in entered:
            scope.__enter__()
        assert "me" == baggage.get_baggage("who")
        assert get_value("nothing") is None
        innermost = ow.current_phase()
        on_top = attach(set_value(KEY, 1))
        assert innermost is ow.current_phase()
        assert innermost.span is trace.get_current_span()
        with ow.phase("inner") as inner:
            assert 1 == get_value(KEY)
        detach(on_top)
        for scope in reversed(entered):
            scope.__exit__(None, None, None)
        detach(token)
    facts = {event.span.span_id: event.span.parent_span_id for event in captured.events if event.span}
    assert innermost.span_id == facts[inner.span_id]


def test_a_span_is_made_when_it_is_asked_for_and_only_once() -> None:
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with capture_workflow(), ow.workflow("run"):
            for _ in range(50):
                with ow.phase("p") as phase:
                    assert phase._span is None
                    barrier, found = threading.Barrier(4), []

                    def ask(
                        phase: ow.Phase = phase, barrier: threading.Barrier = barrier, found: list[object] = found
                    ) -> None:
                        barrier.wait()
                        found.append(phase.span)

                    threads = [threading.Thread(target=ask) for _ in range(4)]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                    assert [trace.get_current_span()] * 4 == found
    finally:
        sys.setswitchinterval(switch)


def test_a_span_that_is_made_late_is_the_one_that_would_have_been_made_at_once() -> None:
    with capture_workflow(), ow.workflow("run") as run, ow.phase("p", attributes={"a": 1, "b": "x"}) as phase:
        pass
    span = phase.span
    assert isinstance(span, PhaseSpan)
    assert ("p", {"a": 1, "b": "x"}, run.span_id) == (span.name, dict(span.attributes), f"{span.parent.span_id:016x}")  # type: ignore[union-attr]
    assert (phase.trace_id, phase.span_id) == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert (phase._start_ns, phase._end_ns, False) == (span.start_time, span.end_time, span.is_recording())
    assert span is phase.span


def test_a_child_of_a_fork_draws_ids_of_its_own() -> None:
    """The short way to a phase asks for no process id to draw one: it is only taken in the process of its run."""
    from otel_workflow.bus import WorkflowEventBus
    from otel_workflow.instrumentation.recorder import Recorder, replaced
    from otel_workflow.journal import MemoryJournal

    def ids() -> list[str]:
        made = []
        for _ in range(3):
            with ow.phase("p") as phase, ow.phase("q") as inner:
                made += [phase.span_id, inner.span_id]
        return made

    with replaced(Recorder("native", WorkflowEventBus(), MemoryJournal(dict))), ow.workflow("run"):
        ids()
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(theirs, " ".join(ids()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        drawn = os.read(ours, 4096).decode().split()
        assert 12 == len({*drawn, *ids()})
    os.close(ours)
    os.close(theirs)


def test_one_scope_open_several_times_ends_the_phase_around_the_caller() -> None:
    scope = ow.phase("p")
    with capture_workflow() as captured, ow.workflow("run"):
        with scope as first:
            with scope as second, scope as third:
                assert 3 == scope._count()
            assert 1 == scope._count()
            with ow.phase("inner"):  # nobody takes them for orphans
                pass
            assert first is ow.current_phase()
        assert 0 == scope._count()
    ended = [event.phase_id for event in captured.events if event.type == "phase.completed"]
    assert [third.span_id, second.span_id] == ended[:2]
    assert {"completed"} == {event.transition for event in captured.events if event.facts and event.facts.outcome}
