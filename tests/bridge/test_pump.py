"""What becomes final waits once, as bytes, and is remembered through restarts."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_workflow.bridge.pump import Pump
from otel_workflow.bridge.sources import MemorySource
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, MemoryJournal
from otel_workflow.journal.record import IS_RUN, MAKER_SDK, SAMPLED, encode_event

TRACE, NO_PARENT = b"t" * 16, b"\0" * 8
SECOND = 1_000_000_000


def journal() -> MemoryJournal:
    """Return an empty journal of a process named by its service."""
    return MemoryJournal(lambda: {"version": 1, "resource": {"service.name": "s"}, "scope": {}})


def say(
    into: MemoryJournal, transition: str, span: bytes, second: float, *, flags: int = SAMPLED, **body: object
) -> None:
    """Write one event record."""
    time_ns = int(second * SECOND)
    said = {"name": span.decode()[:1], "start": 0, **body}
    number = TRANSITIONS.index(transition)
    into.write(EVENT, encode_event(number, flags, TRACE, span, NO_PARENT, time_ns, time_ns, said))


@pytest.fixture
def pump() -> Pump:
    """A pump at whose place it is the twentieth second."""
    return Pump(now=lambda: 20 * SECOND)


def test_a_phase_waits_when_it_has_ended(pump: Pump) -> None:
    """An open one does not."""
    made = journal()
    source = MemorySource(made)
    say(made, "started", b"aaaaaaaa", 1)
    assert (1, 0) == (pump.read([source]), len(pump.waiting))
    say(made, "completed", b"aaaaaaaa", 2, outcome="success")
    assert (1, 1) == (pump.read([source]), len(pump.waiting))


def test_an_ended_phase_is_forgotten_but_for_its_bytes(pump: Pump) -> None:
    """What waits, waits as bytes."""
    made = journal()
    say(made, "started", b"aaaaaaaa", 1)
    say(made, "completed", b"aaaaaaaa", 2, outcome="success")
    pump.read([MemorySource(made)])
    assert ({}, bytes) == (pump.store.phases, type(pump.waiting[0].span))


def test_what_was_acknowledged_is_not_sent_after_a_restart(pump: Pump) -> None:
    """A second pump with the first one's cursor queues only what is new."""
    made = journal()
    say(made, "completed", b"aaaaaaaa", 2, outcome="success")
    pump.read([MemorySource(made)])
    pump.settled(pump.batch(1 << 20, 100))
    say(made, "completed", b"bbbbbbbb", 3, outcome="success")
    second = Pump(now=pump.now, acknowledged=dict(pump.acknowledged))
    second.read([MemorySource(made)])
    assert 1 == len(second.waiting)


def test_a_span_that_a_foreign_sdk_made_is_not_sent_twice(pump: Pump) -> None:
    """The SDK lane's spans are the SDK's, as long as they end."""
    made = journal()
    say(made, "completed", b"aaaaaaaa", 2, flags=SAMPLED | MAKER_SDK, outcome="success")
    pump.read([MemorySource(made)])
    assert 0 == len(pump.waiting)


def test_a_foreign_sdks_span_is_sent_when_its_owner_died(pump: Pump) -> None:
    """Nobody else knows of it any more."""
    made = journal()
    source = MemorySource(made)
    say(made, "started", b"aaaaaaaa", 2, flags=SAMPLED | MAKER_SDK)
    source.closed = True
    pump.read([source])
    assert 1 == len(pump.waiting)


def test_what_the_sampler_dropped_is_journalled_and_not_sent(pump: Pump) -> None:
    """Sampling decides export only."""
    made = journal()
    say(made, "completed", b"aaaaaaaa", 2, flags=0, outcome="success")
    pump.read([MemorySource(made)])
    assert (1, 0) == (made.written, len(pump.waiting))


def test_an_interrupted_phase_waits_for_its_runs_verdict(pump: Pump) -> None:
    """It is held while the root lives and the grace lasts; ``force`` sends it at once."""
    alive, dead = journal(), journal()
    first, second = MemorySource(alive), MemorySource(dead)
    first.name = first.owner = "root's"
    second.name = second.owner = "worker's"
    say(alive, "started", b"rrrrrrrr", 12, flags=SAMPLED | IS_RUN, start=12 * SECOND)
    say(dead, "started", b"aaaaaaaa", 13, start=13 * SECOND)
    second.closed = True
    pump.read([first, second])
    assert (0, True) == (len(pump.waiting), pump.store.phases[(TRACE.hex(), b"aaaaaaaa".hex())].interrupted)
    pump.read([first, second], force=True)
    assert 1 == len(pump.waiting)


def test_an_interrupted_phase_is_sent_when_its_run_has_ended(pump: Pump) -> None:
    """Then nobody can say more about it."""
    alive, dead = journal(), journal()
    first, second = MemorySource(alive), MemorySource(dead)
    first.name = first.owner = "root's"
    second.name = second.owner = "worker's"
    say(alive, "started", b"rrrrrrrr", 12, flags=SAMPLED | IS_RUN, start=12 * SECOND)
    say(dead, "started", b"aaaaaaaa", 13, start=13 * SECOND)
    second.closed = True
    pump.read([first, second])
    say(alive, "completed", b"rrrrrrrr", 14, flags=SAMPLED | IS_RUN, start=12 * SECOND, outcome="success")
    pump.read([first, second])
    assert 2 == len(pump.waiting)


def late(pump: Pump, **body: object) -> tuple[MemoryJournal, MemorySource]:
    """A phase that was sent as interrupted, and whose process said more after that."""
    made = journal()
    source = MemorySource(made)
    say(made, "started", b"aaaaaaaa", 2)
    source.closed = True
    pump.read([source])
    pump.settled(pump.batch(1 << 20, 100))
    source.closed = False
    say(made, "completed", b"aaaaaaaa", 3, start=2 * SECOND, outcome="success", **body)
    return made, source


def test_interrupted_then_a_real_end_arrives_late_and_corrects_the_span_that_was_sent(pump: Pump) -> None:
    """The id is never sent in another version: the truth has an id of its own, and says what it is about."""
    made, source = late(pump, attributes={"files": 3})
    pump.read([source])
    assert (1, 1, {}) == (len(pump.waiting), pump.late_verdicts, pump.store.phases)
    span = Span.FromString(pump.waiting[0].span)
    said = {pair.key: pair.value for pair in span.attributes}
    [link] = span.links
    assert (TRACE, b"aaaaaaaa") == (span.trace_id, span.parent_span_id)
    assert span.span_id not in (b"aaaaaaaa", b"")
    assert ((TRACE, b"aaaaaaaa"), "corrects") == ((link.trace_id, link.span_id), link.attributes[0].value.string_value)
    assert (2 * SECOND, 3 * SECOND) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert ("success", 3) == (said["cicd.pipeline.task.run.result"].string_value, said["files"].int_value)
    assert said["otel_workflow.late_verdict"].bool_value
    assert "otel_workflow.interrupted" not in said
    say(made, "failed", b"aaaaaaaa", 4, start=2 * SECOND, outcome="failure")
    pump.read([source])
    assert (1, 1) == (len(pump.waiting), pump.late_verdicts)


def test_a_correction_is_the_same_bytes_for_whoever_reads_after_a_restart_and_is_sent_once(pump: Pump) -> None:
    """The second shipper knows the start as well, the first had forgotten it."""
    _, source = late(pump)
    before = Pump(now=pump.now, acknowledged=dict(pump.acknowledged))
    before.sent_keys.update(pump.sent_keys)
    pump.read([source])
    first = [waiting.span for waiting in pump.waiting]
    again = MemorySource(source.journal)
    before.read([again])
    assert first == [waiting.span for waiting in before.waiting]
    pump.settled(pump.batch(1 << 20, 100))
    after = Pump(now=pump.now)  # even when the positions are lost
    after.sent_keys.update(pump.sent_keys)
    after.read([MemorySource(source.journal)])
    assert ([], 0) == (list(after.waiting), after.late_verdicts)


def test_an_end_that_says_interrupted_too_corrects_nothing(pump: Pump) -> None:
    """A wrapper that reports what was inferred already says nothing new."""
    made = journal()
    source = MemorySource(made)
    say(made, "started", b"aaaaaaaa", 2)
    source.closed = True
    pump.read([source])
    pump.settled(pump.batch(1 << 20, 100))
    say(made, "interrupted", b"aaaaaaaa", 3, outcome="error")
    pump.read([source])
    assert (0, 0) == (len(pump.waiting), pump.late_verdicts)


def test_a_second_end_after_the_span_was_made_contradicts_it_and_a_repeated_one_does_not(pump: Pump) -> None:
    """Two ends in two reads: the first is sent, the other becomes a span beside it, once."""
    made = journal()
    source = MemorySource(made)
    say(made, "started", b"aaaaaaaa", 1)
    say(made, "completed", b"aaaaaaaa", 2, outcome="success", seq=2)
    pump.read([source])
    say(made, "completed", b"aaaaaaaa", 2, outcome="success", seq=2)
    pump.read([source])
    assert (1, 0) == (len(pump.waiting), pump.late_verdicts)
    say(made, "failed", b"aaaaaaaa", 3, outcome="failure", seq=3)
    pump.read([source])
    [_, other] = pump.waiting
    span = Span.FromString(other.span)
    assert ("contradicts", 1) == (span.links[0].attributes[0].value.string_value, pump.late_verdicts)
    restarted = Pump(now=pump.now, acknowledged={source.name: 2})  # the first end was acknowledged, no more
    restarted.read([MemorySource(made)])
    assert [other.span] == [waiting.span for waiting in restarted.waiting]


def test_keys_of_what_was_sent_are_forgotten_after_eight_days_unless_they_are_asked_for() -> None:
    """Segments are kept for a week; the marker of a run that is still open is asked for at every look."""
    day, now = 86_400 * SECOND, [20 * SECOND]
    pump, made = Pump(now=lambda: now[0]), journal()
    source = MemorySource(made)
    say(made, "started", b"rrrrrrrr", 1, flags=SAMPLED | IS_RUN, start=SECOND, workflow="w")
    pump.read([source])
    pump.settled(pump.batch(1 << 20, 100))
    pump.sent_keys["old:1"] = now[0]
    for _ in range(9):
        now[0] += day
        pump.read([source])
    assert ([f"{TRACE.hex()}:marker"], 0) == (list(pump.sent_keys), len(pump.waiting))


@pytest.mark.parametrize(("start", "markers"), [(8, 1), (9.5, 0)])
def test_a_run_that_lasts_ten_seconds_can_be_found_while_it_runs(pump: Pump, start: float, markers: int) -> None:
    """Its marker is sent one second after that, while its root is still open."""
    made = journal()
    say(made, "started", b"rrrrrrrr", start, flags=SAMPLED | IS_RUN, start=int(start * SECOND), workflow="w")
    source = MemorySource(made)
    pump.read([source])
    pump.read([source])
    assert markers == len(pump.waiting)


@pytest.mark.parametrize(("end", "spans"), [(11.1, 2), (10.9, 1)])
def test_an_ended_run_has_a_marker_by_the_same_rule(pump: Pump, end: float, spans: int) -> None:
    """Whoever ships it, live or later, the same spans arrive."""
    made = journal()
    for transition, second in (("started", 1.0), ("completed", end)):
        outcome = {"outcome": "success"} if transition == "completed" else {}
        say(made, transition, b"rrrrrrrr", second, flags=SAMPLED | IS_RUN, start=SECOND, workflow="w", **outcome)
    pump.read([MemorySource(made)])
    assert spans == len(pump.waiting)


def test_a_record_that_does_not_parse_costs_itself(pump: Pump) -> None:
    """The next one is read."""
    made = journal()
    made.write(EVENT, b"nonsense")
    say(made, "completed", b"aaaaaaaa", 2, outcome="success")
    pump.read([MemorySource(made)])
    assert (1, 1) == (pump.unparsed, len(pump.waiting))


def test_every_batch_is_bounded_and_in_order(pump: Pump) -> None:
    """Bytes and number both bound it; one span always fits."""
    made = journal()
    for number in range(5):
        say(made, "completed", f"{number}aaaaaaa".encode(), 2, outcome="success")
    pump.read([MemorySource(made)])
    assert [2, 1, 5] == [len(pump.batch(1 << 20, 2)), len(pump.batch(1, 100)), len(pump.batch(1 << 20, 100))]


ROWS = {
    "end before start": [("completed", 3), ("started", 1)],
    "end without start": [("completed", 3)],
    "two starts": [("started", 1), ("started", 2), ("completed", 3)],
    "the same end twice": [("started", 1), ("completed", 3), ("completed", 3)],
    "the same start twice": [("started", 1), ("started", 1), ("completed", 3)],
}


@pytest.mark.parametrize("row", ROWS)
def test_end_before_start_end_without_start_two_starts_are_one_span_all_the_same(pump: Pump, row: str) -> None:
    """Whatever came twice, too early or not at all."""
    made = journal()
    for transition, second in ROWS[row]:
        ended = {"outcome": "success", "start": SECOND} if transition == "completed" else {"start": SECOND}
        say(made, transition, b"aaaaaaaa", second, **ended)
    pump.read([MemorySource(made)])
    [waiting] = pump.waiting
    span = Span.FromString(waiting.span)
    assert (SECOND, 3 * SECOND) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert ["phase.started", "phase.completed"] == [event.name for event in span.events]
    assert ({}, 0) == (pump.store.phases, pump.late_verdicts)


def test_two_ends_are_one_span_that_says_what_contradicts_it(pump: Pump) -> None:
    """Both were there when the span was made: the earlier one counts, the other is shown."""
    made = journal()
    say(made, "started", b"aaaaaaaa", 1, seq=1)
    say(made, "failed", b"aaaaaaaa", 4, start=SECOND, outcome="failure", reason="2 findings", error_type="E", seq=3)
    say(made, "completed", b"aaaaaaaa", 3, start=SECOND, outcome="success", seq=2)
    pump.read([MemorySource(made)])
    [waiting] = pump.waiting
    span = Span.FromString(waiting.span)
    said = {pair.key: pair.value.string_value for pair in span.attributes}
    assert ("success", "also reported as failure: 2 findings") == (
        said["cicd.pipeline.task.run.result"],
        said["otel_workflow.contradiction"],
    )
    shown = {event.name: {pair.key: pair.value.string_value for pair in event.attributes} for event in span.events}
    assert {"phase.started", "phase.failed", "phase.completed"} == shown.keys()
    assert "success counts" == shown["phase.failed"]["otel_workflow.contradiction"]
    assert "otel_workflow.contradiction" not in shown["phase.completed"]


@pytest.mark.parametrize("second", [0.5, -3600])
def test_clock_steps_make_no_negative_duration(pump: Pump, second: float) -> None:
    """The clock went back an hour while the phase was open."""
    made = journal()
    say(made, "started", b"aaaaaaaa", 3700, start=3700 * SECOND)
    say(made, "completed", b"aaaaaaaa", 3700 + min(second, 0), start=3700 * SECOND, outcome="success")
    pump.read([MemorySource(made)])
    span = Span.FromString(pump.waiting[0].span)
    assert (3700 * SECOND, 1) == (span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano)


def test_a_read_with_a_budget_goes_on_where_it_stopped_and_judges_nobody_before_the_end(pump: Pump) -> None:
    """Else a phase would be called interrupted whose end is two records further."""
    made = journal()
    source = MemorySource(made)
    for transition, second in (("started", 1), ("progress", 2), ("completed", 3)):
        say(made, transition, b"aaaaaaaa", second, **({"outcome": "success"} if transition == "completed" else {}))
    source.closed = True
    reads = [(pump.read([source], force=True, budget=2), pump.behind, len(pump.waiting)) for _ in range(2)]
    assert [(2, True, 0), (1, False, 1)] == reads
    assert not pump.waiting[0].key


def test_long_records_use_up_a_budget_sooner(pump: Pump) -> None:
    """Or a thousand records would be four thousand MiB."""
    made = journal()
    for number in range(8):
        said = {"outcome": "success", "name": "x" * 100_000}
        say(made, "completed", number.to_bytes(8, "big"), number + 1, start=SECOND, **said)
    assert (2, True) == (pump.read([MemorySource(made)], budget=150), pump.behind)


def test_the_bytes_that_wait_are_known(pump: Pump) -> None:
    made = journal()
    for number in range(8):
        say(made, "completed", number.to_bytes(8, "big"), number + 1, start=SECOND, outcome="success")
    pump.read([MemorySource(made)])
    assert 0 < pump.size == sum(len(waiting.span) for waiting in pump.waiting)
    pump.settled(pump.batch(2**20, 3))
    assert 0 < pump.size == sum(len(waiting.span) for waiting in pump.waiting)
    pump.settled(pump.batch(2**20, 8))
    assert 0 == pump.size
