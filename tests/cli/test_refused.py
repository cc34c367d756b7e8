"""What a backend refuses: counted for good, shown by status, kept as dead letters that can be looked at."""

from __future__ import annotations

import json
import re

from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli
from tests.cli.test_books import status


def test_a_refused_span_is_kept_and_the_rest_arrives(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()  # three spans
    receiver.script(400, 400)
    done = ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert "1 span refused for good" in done.stderr
    books = status(ow)
    assert (2, {"400": 1}, 1, 0, 0) == tuple(
        books[name] for name in ("delivered", "refused", "dead", "dead_not_kept", "waiting")
    )
    said = ow("status").stdout
    assert re.search(r"^refused +1 span: 400\ndead letters +1 kept \(see: .* journal cat --dead\)$", said, re.MULTILINE)
    (letter,) = [json.loads(line) for line in ow("journal", "cat", "--dead", "--json").stdout.splitlines()]
    assert ("400", 400) == (letter["reason"], letter["status"])
    assert letter["span_id"] not in receiver.span_ids
    (line,) = ow("journal", "cat", "--dead").stdout.splitlines()
    assert f"{letter['trace_id']}:{letter['span_id']}" in line


def test_the_books_go_on_from_one_shipper_to_the_next(ow: Cli, receiver: OtlpReceiver) -> None:
    for _ in range(2):
        ow.record()
        receiver.script(400, 400)
        ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    books = status(ow)
    assert (4, {"400": 2}, 2) == (books["delivered"], books["refused"], books["dead"])


def test_status_says_why_spans_wait_and_when_that_is_over(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    books = status(ow)
    assert (3, None) == (books["waiting"], books["last_success"])
    error = books["last_error"]
    assert isinstance(error, dict)
    assert "connection refused" == error["said"]
    assert re.search(r"^last error +connection refused \(from ", ow("status").stdout, re.MULTILINE)
    ow("ship", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert "and over since" in ow("status").stdout


def test_grpc_is_a_destination_like_any_other(ow: Cli) -> None:
    from tests.bridge.grpc_peer import GrpcPeer

    ow.record()
    with GrpcPeer() as peer:
        grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": peer.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        done = ow("ship", **grpc)
        assert (0, f"3 spans delivered to {peer.endpoint}\n") == (done.returncode, done.stderr)
        assert 3 == len({span["span_id"] for span in peer.spans})
        assert f"{peer.endpoint} took a test span" in ow("doctor", **grpc).stdout
