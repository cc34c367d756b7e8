"""The oracle: it balances what is right and says in words what is wrong."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.testing import OtlpReceiver
from otel_workflow.testing.books import journal_books
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.testing.sending import body, client_of, send, span


def _id(number: int) -> str:
    return f"{number:016x}"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that has one, two under one, and two again."""
    with OtlpReceiver() as receiver, client_of(receiver.endpoint) as client:
        two = span(2, parent_span_id=bytes.fromhex(_id(1)))
        send(client, body(span(1), two))
        send(client, body(two))
        yield receiver


def test_what_is_all_there_is_balanced(receiver: OtlpReceiver) -> None:
    books = receiver.check_delivery([_id(1), _id(2)])
    assert "2 emitted = 2 delivered + 0 spooled + 0 dropped" == str(books)
    assert 1 == books.again


def test_what_waits_and_what_was_dropped_is_accounted_for(receiver: OtlpReceiver) -> None:
    books = receiver.check_delivery(map(_id, range(1, 6)), spooled=[_id(2), _id(3)], dropped={"400": 1, "413": 1})
    assert "5 emitted = 2 delivered + 1 spooled + 2 dropped (1 400, 1 413)" == str(books)


def _complaint(receiver: OtlpReceiver, *ids: int, dropped: dict[str, int] | None = None) -> str:
    with pytest.raises(AssertionError) as raised:
        receiver.check_delivery(map(_id, ids), dropped=dropped)
    return str(raised.value)


def test_what_is_missing_is_named(receiver: OtlpReceiver) -> None:
    said = _complaint(receiver, *range(1, 10))
    assert "the books do not balance:\n- 7 of 9 are missing, neither delivered nor spooled and nothing" in said
    assert f": {_id(3)}, {_id(4)}, {_id(5)}, {_id(6)}, {_id(7)} and 2 more" in said


def test_too_few_and_too_many_counted_drops_are_told(receiver: OtlpReceiver) -> None:
    assert "of which 1 are counted as dropped" in _complaint(receiver, 1, 2, 3, 4, dropped={"400": 1})
    assert "3 are counted as dropped ({'400': 3}), but 1 are missing" in _complaint(
        receiver, 1, 2, 3, dropped={"400": 3}
    )


def test_what_nobody_emitted_is_named(receiver: OtlpReceiver) -> None:
    assert f"1 were delivered that nobody emitted: {_id(2)} (phase 2)" in _complaint(receiver, 1)


def test_a_span_in_two_versions_is_named(receiver: OtlpReceiver) -> None:
    with client_of(receiver.endpoint) as client:
        send(client, body(span(2, kind=2, parent_span_id=bytes.fromhex(_id(1)))))
    assert f"1 came in versions with different bytes: {_id(2)} (phase 2)" in _complaint(receiver, 1, 2)


def test_a_parent_that_never_came_is_named_unless_it_is_somebody_elses(receiver: OtlpReceiver) -> None:
    with client_of(receiver.endpoint) as client:
        send(client, body(span(3, parent_span_id=bytes.fromhex(_id(9)))))
    assert f"1 name a parent that nobody emitted: {_id(3)} (phase 3) under {_id(9)}" in _complaint(receiver, 1, 2, 3)
    receiver.check_delivery(map(_id, (1, 2, 3)), outside=[_id(9)])


def _recorded(journal: Path, name: str, *how: str) -> None:
    with Program(name, *how, OW_JOURNAL=str(journal)) as program:
        program.hear_all()
        assert 0 == program.finish().code


def test_a_journal_balances_before_while_and_after_it_is_shipped(tmp_path: Path) -> None:
    _recorded(tmp_path, "plain", "alone")
    with OtlpReceiver() as receiver:
        assert "5 emitted = 0 delivered + 5 spooled + 0 dropped" == str(receiver.check_identity(tmp_path))
        ship(tmp_path, receiver.endpoint)
        assert "5 emitted = 5 delivered + 0 spooled + 0 dropped" == str(receiver.check_identity(tmp_path))


def test_killed_phases_library_spans_and_children_balance(tmp_path: Path) -> None:
    _recorded(tmp_path, "everything")
    with OtlpReceiver() as receiver:
        ship(tmp_path, receiver.endpoint)
        books = receiver.check_identity(tmp_path)
        assert len(receiver.span_ids) == books.emitted == books.delivered
        assert {"killed", "GET /cache"} <= {each["name"] for each in receiver.spans}


def test_phases_open_in_a_living_process_are_not_emitted_yet(tmp_path: Path) -> None:
    with Program("plain", "waits", OW_JOURNAL=str(tmp_path)) as program, OtlpReceiver() as receiver:
        program.hear()
        ship(tmp_path, receiver.endpoint)
        assert "4 emitted = 4 delivered + 0 spooled + 0 dropped" == str(receiver.check_identity(tmp_path))


def test_what_a_killed_process_left_open_in_an_earlier_segment_was_emitted(tmp_path: Path) -> None:
    with Program("large", OW_JOURNAL=str(tmp_path)) as program:
        program.hear()
        program.finish(kill=signal.SIGKILL)
    assert len(list(tmp_path.glob("*.owj"))) > 1
    with OtlpReceiver() as receiver:
        books = receiver.check_identity(tmp_path)
        assert "1503 emitted = 0 delivered + 1503 spooled + 0 dropped" == str(books)
        assert 1503 == len(journal_books(tmp_path).emitted)  # not because they wait: by the records alone


def test_a_journal_that_claims_to_be_delivered_and_is_not_is_found(tmp_path: Path) -> None:
    _recorded(tmp_path, "plain", "alone")
    with OtlpReceiver() as honest:
        ship(tmp_path, honest.endpoint)
    with OtlpReceiver() as empty, pytest.raises(AssertionError, match="5 of 5 are missing"):
        empty.check_identity(tmp_path)


def test_what_was_refused_for_good_must_be_counted(tmp_path: Path) -> None:
    _recorded(tmp_path, "plain", "alone")
    with OtlpReceiver() as receiver:
        receiver.script("partial:2")
        ship(tmp_path, receiver.endpoint)
        with pytest.raises(AssertionError, match=re.escape("2 of 5 are missing")):
            receiver.check_identity(tmp_path)
        books = receiver.check_identity(tmp_path, dropped={"partial success": 2})
        assert "5 emitted = 3 delivered + 0 spooled + 2 dropped (2 partial success)" == str(books)
