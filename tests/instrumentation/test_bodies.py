"""Records are written as text on a short way; what they mean is what the long way means."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_workflow as ow
from otel_workflow.events import TRANSITIONS, Event
from otel_workflow.instrumentation import lifecycle
from otel_workflow.instrumentation.attributes import mapping_of, written
from otel_workflow.instrumentation.recorder import active
from otel_workflow.instrumentation.span import PhaseSpan
from otel_workflow.instrumentation.verdict import Verdict
from otel_workflow.journal import EVENT
from otel_workflow.journal.record import decode_event, encode_event
from otel_workflow.masking import texts
from otel_workflow.testing import capture_workflow
from otel_workflow.values import clean_attributes
from tests.instrumentation.reference import end_object, start_object


class OddText(str):
    """A text that is not quite one."""

    __slots__ = ()


ANY_TEXT = st.text(max_size=20) | st.sampled_from(["", "\ud800", "ä€😀", '"\\\n\x00', "x" * 20_000, OddText("odd")])
VALUES = (
    ANY_TEXT
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63 - 1, -(2**63), 2**63, 10**30])
    | st.floats()
    | st.none()
    | st.lists(st.integers() | ANY_TEXT, max_size=3)
    | st.binary(max_size=5)
)
KEYS = ANY_TEXT | st.integers()
ATTRIBUTES = st.none() | st.dictionaries(KEYS, VALUES, max_size=5)
DEFINITIONS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([None, "build", "test"]),
        "attributes": ATTRIBUTES,
        "detail": st.sampled_from(["phase", "item"]),
        "attempt": st.integers(1, 3),
        "event": st.sampled_from(["phase", "hooks.strategy", 'odd "subject"']),
        "payload": ATTRIBUTES,
    },
)


def same(one: object, other: object) -> bool:
    """Compare with types: True is not 1 and 1 is not 1.0; NaN was made text before."""
    return json.dumps(one, default=dict) == json.dumps(other, default=dict)


@given(ATTRIBUTES)
def test_attributes_are_cleaned_and_written_in_one_pass_as_they_are_in_two(attributes: dict[Any, Any] | None) -> None:
    kept, text = written(attributes)
    clean = mapping_of(kept)
    assert same(clean_attributes(attributes), dict(clean))
    assert same(dict(clean), json.loads(text or "{}"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": float("nan"), "b": float("inf"), "c": 1.5, "d": -0.0, "e": 1e300},
        {"a" * 256: 1, "b" * 257: 2},
        {f"k{n}": "x" * 16_000 for n in range(30)},
        {f"k{n}": n for n in range(200)},
        {True: 1, 1.5: 2},
        {"50%": 1, "%s": "%d", 'a"b\\c': True},
        {"a": True, "b": 1, "c": 1.0, "d": "1", "e": 0, "f": False, "g": 257, "h": -2},
    ],
    ids=["floats", "long keys", "too much", "too many", "odd keys", "percents", "what is equal and not the same"],
)
def test_what_is_not_plain_is_cleaned_as_ever(attributes: dict[Any, Any]) -> None:
    kept, text = written(attributes)
    clean = mapping_of(kept)
    assert same(clean_attributes(attributes), dict(clean))
    assert same(dict(clean), json.loads(text))


def test_what_was_plain_is_looked_at_again_when_a_secret_becomes_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_registry", type(texts._registry)())
    attributes = {"where": "plainly-here", "how": 1}
    assert '{"where":"plainly-here","how":1}' == written(attributes)[1]
    ow.mask("plainly-here")
    assert '{"where":"***","how":1}' == written(attributes)[1]


def test_a_mask_holds_for_what_a_phase_begins_with() -> None:
    token = f"ghp_{'a1' * 18}"
    assert ({"a": "ghp_***", "b": 1}, '{"a":"ghp_***","b":1}') == written({"a": token, "b": 1})
    assert '{"a":"ghp_***","b":"nan"}' == written({"a": token, "b": float("nan")})[1]
    assert '{"password":"***"}' == written({"password": "anything"})[1]


def test_changing_the_attributes_afterwards_changes_nothing() -> None:
    given = {"a": 1}
    with capture_workflow() as captured, ow.phase("p", attributes=given) as phase:
        given["b"] = 2
        assert {"a": 1} == dict(phase.span.attributes)  # type: ignore[attr-defined]
    assert {"a": 1} == dict(captured.events[0].facts.attributes)  # type: ignore[union-attr]


@given(ANY_TEXT, DEFINITIONS, ATTRIBUTES, st.sampled_from(["", "fail", "raise"]))
def test_every_record_means_what_the_plain_way_of_writing_it_means(
    name: str, definition: dict[str, Any], own: dict[Any, Any] | None, ending: str
) -> None:
    with capture_workflow() as captured, contextlib.suppress(ValueError):
        with ow.workflow("build", action="BUILD"), ow.phase(name, **definition) as phase:
            phase.span.set_attributes(own or {})
            if ending == "fail":
                phase.fail(name, error_type="kind")
            if ending == "raise":
                raise ValueError(name)
    started, ended = [event for event in captured.events if event.phase_id == phase.span_id]
    assert decode_again(started, start_object(phase, definition.get("attributes")), 1) == started
    facts = ended.facts
    assert facts is not None
    assert facts.outcome is not None
    verdict = Verdict(facts.outcome, facts.reason, facts.error_type)
    without = decode_again(ended, {**end_object(phase, verdict, own or {}), "events": facts.span_events}, 2)
    assert without == ended


def decode_again(event: Event, body: dict[str, Any], sequence: int) -> Event:
    """Encode a body under the ids, time and flags of an event, and decode it."""
    span = event.span
    assert span is not None
    number = TRANSITIONS.index(event.type.rpartition(".")[2])
    flags = 1 | (16 if event.facts and event.facts.nested else 0)
    ids = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), bytes.fromhex(span.parent_span_id or "0" * 16)
    said = {key: value for key, value in body.items() if key == "name" or value not in ("", None, {})}
    return decode_event(encode_event(number, flags, *ids, event.time_ns, 0, {**said, "seq": sequence}))


def records() -> list[bytes]:
    """Run a small workflow on fixed ids and a clock that stands still; return the payloads it wrote."""
    with capture_workflow() as captured:
        with ow.workflow("build", attributes={"a": 1}), ow.phase("outer", attributes={"b": "x", "c": True}):
            with ow.phase("inner", type="test") as inner:
                inner.set_attribute("d", 1.5)
            with ow.phase("again", attempt=2, payload={"step_id": "s"}) as again:
                again.fail("no")
        return [record.payload for record in captured._journal.read() if record.kind == EVENT]


def test_the_short_way_to_a_child_writes_the_bytes_of_the_long_way() -> None:
    short = records()
    with mock.patch.object(lifecycle, "child_of", return_value=None):
        assert records() == short
    assert 8 == len(short)


def test_the_short_way_is_taken() -> None:
    """Else the test above would compare the long way with itself."""
    taken = []
    child_of = lifecycle.child_of

    def watched(*arguments: Any) -> Any:
        taken.append(child_of(*arguments))  # type: ignore[arg-type]
        return taken[-1]

    with mock.patch.object(lifecycle, "child_of", watched):
        records()
    assert [True, True, True] == [made is not None for made in taken]


def test_many_threads_that_set_the_first_attribute_at_once_all_find_theirs_again() -> None:
    """Nothing is gathered before somebody sets something; the first to come must not exclude the second."""
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with capture_workflow() as captured:
            for _ in range(50):
                with ow.phase("p") as phase:
                    barrier = threading.Barrier(4)

                    def put(number: int, phase: ow.Phase = phase, barrier: threading.Barrier = barrier) -> None:
                        barrier.wait()
                        phase.set_attribute(f"k{number}", number)

                    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
    finally:
        sys.setswitchinterval(switch)
    ends = [event.facts for event in captured.events if event.facts and event.facts.outcome]
    assert [{"k0", "k1", "k2", "k3"}] * 50 == [set(facts.attributes) for facts in ends]


def test_the_place_where_a_span_keeps_what_it_gathers_is_decided_once() -> None:
    """Also when a thread or a signal handler comes between the look and the making: simulated."""
    with capture_workflow(), ow.phase("p") as phase:
        span = phase.span
        assert isinstance(span, PhaseSpan)
        first = span._gather()
        span.gathered = None  # what the second one still saw
        assert first is span._gather()
        assert active() is not None
