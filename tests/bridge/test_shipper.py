"""Batches leave in order, a refused one is split, and whatever else goes wrong loses nothing."""

import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from otel_workflow.bridge.answer import Answer, interpret
from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.grpc_answer import interpret_grpc
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.bridge.in_memory import MemoryShipper
from otel_workflow.bridge.otlp import encode_resource, encode_scope, encode_span
from otel_workflow.bridge.pump import Pump, Waiting
from otel_workflow.bridge.shipper import Shipper
from otel_workflow.bridge.span_data import SpanData, SpanEvent
from otel_workflow.events import TRANSITIONS
from otel_workflow.journal import EVENT, MemoryJournal
from otel_workflow.journal.record import SAMPLED, encode_event
from otel_workflow.testing import OtlpReceiver
from otel_workflow.testing.received import read_items
from tests.bridge.grpc_peer import GrpcPeer, Reply, status

Line = Callable[[int], MemoryShipper]
COMPLETED = TRANSITIONS.index("completed")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A real OTLP receiver."""
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def line(receiver: OtlpReceiver) -> Iterator[Line]:
    """Makes shippers to the receiver, and closes them."""
    made: list[MemoryShipper] = []

    def make(phases: int) -> MemoryShipper:
        made.append(MemoryShipper(finished(phases), client_of(receiver)))
        return made[-1]

    yield make
    for shipper in made:
        shipper.release()


def client_of(receiver: OtlpReceiver) -> OtlpHttpClient:
    """Return a client that sends to the receiver."""
    destination = Destination.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})
    assert destination is not None
    return OtlpHttpClient(destination)


def finished(phases: int) -> MemoryJournal:
    """Return a journal with so many finished phases, of ids 1, 2, 3."""
    journal = MemoryJournal(lambda: {"version": 1, "resource": {"service.name": "s"}, "scope": {}})
    for number in range(1, phases + 1):
        body = {"name": "work", "start": number, "outcome": "success"}
        ids = b"t" * 16, number.to_bytes(8, "big"), b"\0" * 8
        journal.write(EVENT, encode_event(COMPLETED, SAMPLED, *ids, number + 1, number, body))
    return journal


def ids(count: int) -> set[str]:
    """Return the ids of the first phases."""
    return {f"{number:016x}" for number in range(1, count + 1)}


def test_everything_that_waits_is_sent_once(receiver: OtlpReceiver, line: Line) -> None:
    """In one request when it fits."""
    made = line(10)
    assert made.drain(10.0)
    assert (10, ids(10), 1) == (made.shipper.books.delivered, set(receiver.span_ids), len(receiver.requests))


def test_an_unavailable_backend_keeps_everything_waiting(receiver: OtlpReceiver, line: Line) -> None:
    """And the next try waits for a while."""
    made = line(3)
    receiver.script(503)
    assert (False, 3) == (made.drain(10.0), len(made.pump.waiting))
    assert made.shipper.not_before > time.monotonic() - 10
    made.shipper.not_before = 0.0
    assert (True, ids(3)) == (made.drain(10.0), set(receiver.span_ids))


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_batch_is_split_until_the_bad_span_stands_alone(
    receiver: OtlpReceiver, line: Line, status: int
) -> None:
    """Of eight spans the first is refused in every request it is part of: seven arrive."""
    made = line(8)
    receiver.script(status, status, status, status)
    assert made.drain(10.0)
    books = made.shipper.books
    assert (7, 1, ids(8) - ids(1)) == (books.delivered, books.refused, set(receiver.span_ids))


def test_partial_success_is_counted_and_not_sent_again(receiver: OtlpReceiver, line: Line) -> None:
    """What a backend rejects inside an accepted request is gone, and the books say so."""
    made = line(5)
    receiver.script("partial:2")
    assert made.drain(10.0)
    assert (3, 2, 1) == (made.shipper.books.delivered, made.shipper.books.refused, len(receiver.requests))


def test_a_missing_permission_is_not_taken_for_a_bad_span(receiver: OtlpReceiver, line: Line) -> None:
    """401 and 404 are about the sender or the address: nothing is thrown away."""
    made = line(2)
    receiver.script(401)
    assert (False, 2, 0) == (made.drain(10.0), len(made.pump.waiting), made.shipper.books.refused)


def test_a_connection_that_breaks_loses_nothing(receiver: OtlpReceiver, line: Line) -> None:
    """The spans stay, and arrive on the next try."""
    made = line(2)
    receiver.script("reset")
    made.drain(10.0)
    made.shipper.not_before = 0.0
    assert (True, ids(2)) == (made.drain(10.0), set(receiver.span_ids))


def test_sent_and_sent_again_are_the_same_bytes(receiver: OtlpReceiver, line: Line) -> None:
    """A second shipper of the same journal gives byte-identical spans."""
    first = line(3)
    first.drain(10.0)
    line(3).drain(10.0)
    assert (6, 3) == (len(receiver.span_bytes()), len(set(receiver.span_bytes())))


# ---- what no backend takes --------------------------------------------------------------

CORPUS: dict[str, SpanData] = {
    "lone surrogate in the name": SpanData(b"t" * 16, b"\1" * 8, "a\udc80b", 1, 2),
    "lone surrogate in the status": SpanData(
        b"t" * 16, b"\2" * 8, "n", 1, 2, status_code=2, status_message="\ud800 broke"
    ),
    "lone surrogate in an event's name": SpanData(b"t" * 16, b"\3" * 8, "n", 1, 2, events=(SpanEvent(1, "\udfff"),)),
    "lone surrogate in an attribute": SpanData(b"t" * 16, b"\4" * 8, "n", 1, 2, attributes={"\udc80": "\udc81"}),
    "int as name": SpanData(b"t" * 16, b"\5" * 8, 7, 1, 2),  # type: ignore[arg-type]
    "negative time": SpanData(b"t" * 16, b"\6" * 8, "n", -5, 2),
    "float time": SpanData(b"t" * 16, b"\7" * 8, "n", 1.5, 2.5),  # type: ignore[arg-type]
    "huge span": SpanData(b"t" * 16, b"\x08" * 8, "n", 1, 2, attributes={"log": "x" * (2 << 20), "k": "v"}),
}
GROUP = (encode_resource({"service.name": "s"}), "", encode_scope("scope"), "")
NOT_UTF8 = encode_span(SpanData(b"t" * 16, b"\x09" * 8, "abcd", 1, 2)).replace(b"abcd", b"a\xff\xfed")
"""A span that a library's own encoder got wrong: what no strict parser takes."""


class Buried(list[tuple[Waiting, Answer]]):
    """Dead letters in memory."""

    def bury(self, waiting: Waiting, answer: Answer) -> bool:
        """Keep one."""
        self.append((waiting, answer))
        return True


def waiting_pump(spans: Iterable[bytes]) -> Pump:
    """Return a pump in which these spans wait."""
    pump = Pump()
    pump.waiting.extend(Waiting(GROUP, span, key=f"{number}") for number, span in enumerate(spans))
    return pump


def good(number: int) -> bytes:
    """Return a span with nothing wrong about it."""
    return encode_span(SpanData(b"t" * 16, (1000 + number).to_bytes(8, "big"), "good", 1, 2))


def grpc_shipper(peer: GrpcPeer, pump: Pump, buried: Buried) -> Shipper:
    """Return a shipper to a gRPC server."""
    client = client_for(Destination(peer.endpoint, protocol="grpc"))
    return Shipper(pump, client, bury=buried.bury)


def strict(code: str) -> Reply:
    """Judge as a server with a strict parser does."""

    def judge(body: bytes, context: object) -> bytes:
        try:
            list(read_items("traces", body))
        except ValueError:
            return status(code, "error unmarshalling request: string field contains invalid UTF-8")(body, context)
        return b""

    return judge


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT"])
@pytest.mark.parametrize("place", [0, 1, 20, 39])
def test_one_poison_item_costs_one_item_over_grpc(code: str, place: int) -> None:
    """4xx, encode failure: bisect to the bad span, dead-letter it, ship the rest; INTERNAL is what Go answers."""
    spans = [good(number) for number in range(40)]
    spans[place] = NOT_UTF8
    spans[10:10] = [encode_span(span) for span in CORPUS.values()]
    pump, buried = waiting_pump(spans), Buried()
    with GrpcPeer() as peer:
        peer.judge = strict(code)
        shipper = grpc_shipper(peer, pump, buried)
        done = shipper.drain([], time.monotonic() + 30)
        shipper.client.close()
    assert (True, 47, 1) == (done, shipper.books.delivered, shipper.books.refused)
    assert [NOT_UTF8] == [waiting.span for waiting, _ in buried]
    assert 1 == shipper.books.trimmed


@pytest.mark.parametrize("name", CORPUS)
def test_each_of_eight_poisons_arrives_over_http(receiver: OtlpReceiver, name: str) -> None:
    """They were made harmless when they were encoded; the receiver parses strictly."""
    pump = waiting_pump([good(1), encode_span(CORPUS[name]), good(2)])
    shipper = Shipper(pump, client_of(receiver))
    assert shipper.drain([], time.monotonic() + 30)
    assert 3 == len(receiver.span_ids)
    assert (3, 0) == (shipper.books.delivered, shipper.books.refused)
    shipper.client.close()


def test_one_poison_item_costs_one_item_over_http(receiver: OtlpReceiver) -> None:
    """The receiver answers 400 to what does not parse."""
    spans = [good(number) for number in range(20)]
    spans[7] = NOT_UTF8
    pump, buried = waiting_pump(spans), Buried()
    shipper = Shipper(pump, client_of(receiver), bury=buried.bury)
    assert shipper.drain([], time.monotonic() + 30)
    assert (19, 19, [NOT_UTF8]) == (
        len(receiver.span_ids),
        shipper.books.delivered,
        [waiting.span for waiting, _ in buried],
    )
    shipper.client.close()


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
def test_a_backend_that_fails_at_everything_costs_no_span(code: str) -> None:
    """It says what it says of bad data, but takes nothing at all: so the data is not to blame."""
    pump, buried = waiting_pump(good(number) for number in range(200)), Buried()
    with GrpcPeer() as peer:
        peer.judge = status(code, "no")
        shipper = grpc_shipper(peer, pump, buried)
        assert not shipper.drain([], time.monotonic() + 30)
        assert (200, 0, []) == (len(pump.waiting), shipper.books.refused, buried)
        assert len(peer.requests) < 40
        peer.judge = lambda body, context: b""
        shipper.not_before = 0.0
        assert shipper.drain([], time.monotonic() + 30)
        shipper.client.close()
    assert (200, 0) == (shipper.books.delivered, shipper.books.refused)


def test_http_500_is_looked_into_when_it_comes_again(receiver: OtlpReceiver) -> None:
    """Once is a backend in trouble; twice may be one span that it stumbles over."""
    pump, buried = waiting_pump([good(1), good(2)]), Buried()
    shipper = Shipper(pump, client_of(receiver), bury=buried.bury)
    receiver.script(500, 500, 500)
    assert (False, 1) == (shipper.drain([], time.monotonic() + 30), len(receiver.requests))
    shipper.not_before = 0.0
    assert shipper.drain([], time.monotonic() + 30)
    assert ([good(1)], 1) == ([waiting.span for waiting, _ in buried], shipper.books.delivered)
    shipper.client.close()


@pytest.mark.parametrize("limit", [900_000, 300_000, 40_000, 1_000])
@pytest.mark.parametrize("over", ["http", "grpc"])
def test_a_span_too_large_for_the_backend_is_split_off_then_trimmed_then_given_up(limit: int, over: str) -> None:
    """413, gRPC 4 MiB, one huge span: split; single oversize span is trimmed and flagged."""
    huge = encode_span(CORPUS["huge span"])
    pump, buried = waiting_pump([good(1), huge, good(2)]), Buried()
    answers: list[Answer] = []

    class Small:
        """A client of a backend that takes so many bytes."""

        def connect(self, deadline: float) -> bool:
            return True

        def send(self, body: bytes, *, deadline: float) -> Answer:
            if len(body) > limit:
                said = f"grpc: received message larger than max ({len(body)} vs. {limit})"
                made = interpret(413, {}, b"") if over == "http" else interpret_grpc(8, said, ())
            else:
                made = Answer("accepted", 200)
                arrived.extend(span for span, _ in read_items("traces", body))
            answers.append(made)
            return made

        def interrupt(self) -> None: ...

        def before_fork(self) -> None: ...

        def close(self) -> None: ...

    arrived: list[dict[str, object]] = []
    shipper = Shipper(pump, Small(), bury=buried.bury)
    assert shipper.drain([], time.monotonic() + 30)
    if limit == 1_000:
        assert (2, 1, [huge]) == (shipper.books.delivered, shipper.books.refused, [w.span for w, _ in buried])
        return
    (trimmed,) = [span["attributes"] for span in arrived if span["name"] == "n"]
    assert isinstance(trimmed, dict)
    assert ("v", ["log"]) == (trimmed["k"], trimmed["otel_workflow.trimmed"])
    assert str(trimmed["log"]).startswith("xxx")
    assert (3, 0, 1) == (shipper.books.delivered, shipper.books.refused, shipper.books.trimmed)


@pytest.mark.parametrize(("header", "least", "most"), [("0", 1, 1), ("3600", 900, 900), ("garbage", 0.375, 0.5)])
@pytest.mark.parametrize("code", [429, 503])
def test_the_wait_a_backend_asks_for_is_kept_and_nothing_is_dropped(
    header: str, least: float, most: float, code: int
) -> None:
    """429/503 + Retry-After (0, date, 3,600, garbage)."""
    pump, clock = waiting_pump([good(1)]), [100.0]
    answers = [interpret(code, {"Retry-After": header}, b""), Answer("accepted", 200)]

    class Busy:
        """Asks for a wait once."""

        def connect(self, deadline: float) -> bool:
            return True

        def send(self, body: bytes, *, deadline: float) -> Answer:
            return answers.pop(0)

        def interrupt(self) -> None: ...

        def before_fork(self) -> None: ...

        def close(self) -> None: ...

    shipper = Shipper(pump, Busy(), monotonic=lambda: clock[0], chance=lambda: 0.5)
    assert not shipper.drain([], 10_000.0)
    clock[0] += least - 0.01
    assert (False, 1) == (shipper.drain([], 10_000.0), len(answers))
    clock[0] += most - least + 0.02
    assert (True, 1, 0) == (shipper.drain([], 10_000.0), shipper.books.delivered, shipper.books.refused)


@pytest.mark.parametrize(("chance", "first", "last"), [(0.0, 0.375, 22.5), (0.5, 0.5, 30.0), (1.0, 0.625, 30.0)])
def test_the_pauses_vary_by_a_quarter_and_end_at_half_a_minute(chance: float, first: float, last: float) -> None:
    """Collector flapping: no thundering herd."""
    pump, clock, pauses = waiting_pump([good(1)]), [100.0], list[float]()
    client = OtlpHttpClient(Destination("http://127.0.0.1:9/v1/traces"))
    shipper = Shipper(pump, client, monotonic=lambda: clock[0], chance=lambda: chance)
    for _ in range(10):
        assert not shipper.drain([], 10_000.0)
        pauses.append(shipper.not_before - clock[0])
        clock[0] = shipper.not_before
    assert [first, 2 * first, last] == [pauses[0], pauses[1], pauses[-1]]


def test_a_turn_that_ends_cuts_no_request_off() -> None:
    """A request that is cut off may have been taken: its spans would be sent twice."""
    pump, clock, left = waiting_pump([good(number) for number in range(1, 13)]), [100.0], list[float]()

    class Slow(OtlpHttpClient):
        """Takes a second for everything."""

        def send(self, body: bytes, *, deadline: float) -> Answer:
            left.append(deadline - clock[0])
            clock[0] += 1
            return Answer("accepted", 200)

    shipper = Shipper(pump, Slow(Destination("http://127.0.0.1:9/v1/traces")), monotonic=lambda: clock[0])
    pump.batch = lambda *_: [pump.waiting[0]]  # type: ignore[method-assign]
    shipper.turn = 5.0
    drained = [shipper.drain([], clock[0] + 15) for _ in range(3)]
    assert ([False, False, True], 12, 0) == (drained, shipper.books.delivered, shipper.books.failures)
    assert min(left) > 10
