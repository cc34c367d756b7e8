"""The Jaeger that tests get: it takes spans from the stock exporters and gives them back."""

from __future__ import annotations

import secrets

import pytest

from tests.servers.jaeger import Jaeger
from tests.servers.spans import check_round_trip, over_grpc, over_http, send

pytestmark = pytest.mark.servers


def test_spans_come_back_over_http(jaeger: Jaeger) -> None:
    check_round_trip(jaeger, over_http(jaeger))


def test_spans_come_back_over_grpc(jaeger: Jaeger) -> None:
    check_round_trip(jaeger, over_grpc(jaeger))


def test_a_trace_that_was_never_sent_is_none(jaeger: Jaeger) -> None:
    assert jaeger.trace(secrets.token_hex(16)) is None


def test_waiting_in_vain_tells_what_came(jaeger: Jaeger) -> None:
    trace_id = send(over_http(jaeger), "tests", "1")
    with pytest.raises(TimeoutError, match=rf"{trace_id} has 2 of 3 spans .*'lint', 'nightly'"):
        jaeger.wait_for_trace(trace_id, spans=3, timeout=0.2)
