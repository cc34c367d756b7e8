"""The limits of a request's body, and what happens when too much comes at once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon import ingest as module
from otel_workflow.bridge.daemon.counting import Counting
from otel_workflow.bridge.daemon.ingest import MAX_DECODED, MAX_WIRE, Ingest, OverloadedError, TooLargeError
from otel_workflow.bridge.metrics import MetricsWriter
from otel_workflow.bridge.metrics.journals import BUCKETS, bucketed
from tests.bridge.daemon.making import run_span, traces


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return Ingest(Counting(MetricsWriter(tmp_path)))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_is_put_together_from_any_pieces(ingest: Ingest, size: int) -> None:
    whole = bytes(range(256)) * 50
    for gzipped in (False, True):
        sent = gzip.compress(whole) if gzipped else whole
        with ingest.body(gzip=gzipped) as body:
            for at in range(0, len(sent), size):
                body.feed(sent[at : at + size])
            assert whole == body.finish()


def test_a_body_may_be_as_large_as_the_limits_and_no_larger(ingest: Ingest) -> None:
    with ingest.body(gzip=False) as body:
        body.feed(bytes(MAX_WIRE))
        with pytest.raises(TooLargeError):
            body.feed(b"x")


def test_what_decompresses_to_more_than_a_hundred_times_is_refused_before_the_size_limit(ingest: Ingest) -> None:
    bomb = gzip.compress(bytes(MAX_DECODED - 1))
    with ingest.body(gzip=True) as body, pytest.raises(TooLargeError):
        body.feed(bomb)
    with ingest.body(gzip=True) as body:
        body.feed(gzip.compress(bytes(1 << 20)))  # small things may shrink as they like
        assert 1 << 20 == len(body.finish())


def test_all_connections_together_hold_no_more_than_their_budget(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [ingest.body(gzip=False) for _ in range(module.MAX_AT_ONCE // MAX_WIRE)]
    for body in bodies:
        body.feed(bytes(MAX_WIRE))
    with ingest.body(gzip=False) as one_more, pytest.raises(OverloadedError):
        one_more.feed(b"x")
    with bodies.pop():
        pass
    with ingest.body(gzip=False) as now:
        now.feed(b"x")


def test_requests_beyond_the_queue_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    counting = Counting(MetricsWriter(tmp_path / "state"))  # which was not started
    ingest = Ingest(counting)
    answers = {ingest.take("traces", traces(run_span(7))).refusal for _ in range(600)}
    assert {"not stored", "overloaded"} == answers


def test_positions_are_always_split_in_the_same_way() -> None:
    positions = {f"segment-{number}.owj": number for number in range(1000)}
    parts = bucketed(positions)
    assert BUCKETS == len(parts)
    assert positions == {name: at for part in parts for name, at in part.items()}
    assert parts == bucketed(dict(reversed(positions.items())))
    changed = bucketed({**positions, "segment-7.owj": 8})
    assert 1 == sum(one != other for one, other in zip(parts, changed, strict=True))
