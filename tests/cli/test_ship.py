from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from otel_workflow.journal import DirectoryLock
from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli

REFUSED = "http://127.0.0.1:9"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An endpoint that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def to(endpoint: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}


def test_what_was_recorded_without_an_endpoint_is_delivered_later_and_once(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    done = ow("ship", **to(receiver.endpoint))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"3 spans delivered to {receiver.endpoint}/v1/traces\n"
    assert ow("ship", **to(receiver.endpoint)).stderr == f"nothing waits for {receiver.endpoint}/v1/traces\n"
    assert sorted(span["name"] for span in receiver.spans) == ["RUN nightly", "compile", "test"]


def test_a_killed_phase_is_forced_out_as_it_is_known(
    ow: Cli, receiver: OtlpReceiver, killed_worker: Callable[[], None]
) -> None:
    killed_worker()
    assert "2 spans delivered" in ow("ship", **to(receiver.endpoint)).stderr
    upload = next(span for span in receiver.spans if span["name"] == "upload")
    assert upload["attributes"]["error.type"] == "killed"


@pytest.mark.parametrize("strict", [False, True])
def test_a_dead_collector_delays_little_and_everything_waits(ow: Cli, *, strict: bool) -> None:
    ow.record()
    begun = monotonic()
    done = ow("ship", *(["--strict"] if strict else []), **to(REFUSED))
    assert monotonic() - begun < 3
    assert done.returncode == (3 if strict else 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("3 spans still waiting: the endpoint did not take them (connection refused); send with: ")
    assert line.endswith(f"otel_workflow ship --deadline 60 --journal {ow.journal}")


def test_a_refused_connection_is_a_fact_even_with_a_deadline(ow: Cli) -> None:
    ow.record()
    begun = monotonic()
    ow("ship", "--deadline", "30", **to(REFUSED))
    assert monotonic() - begun < 10


def test_a_black_hole_is_left_after_a_moment_and_borne_until_an_explicit_deadline(ow: Cli, black_hole: str) -> None:
    ow.record()
    quick = json.loads(ow("ship", "--json", **to(black_hole)).stdout)
    assert (quick["delivered"], quick["waiting"], quick["stopped"]) == (0, 3, "unanswered")
    begun = monotonic()
    patient = json.loads(ow("ship", "--json", "--deadline", "1", **to(black_hole)).stdout)
    assert monotonic() - begun >= 1
    assert (patient["waiting"], patient["stopped"]) == (3, "deadline")


def test_an_answer_that_asks_for_patience_gets_it_only_with_a_deadline(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    receiver.script(503)
    assert ow("ship", "--strict", **to(receiver.endpoint)).returncode == 3
    receiver.script(503, 429)
    done = ow("ship", "--strict", "--deadline", "20", **to(receiver.endpoint))
    assert (done.returncode, len(receiver.spans)) == (0, 3)


def test_what_is_refused_for_good_is_counted_and_strict_makes_it_1(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    receiver.script(*[400] * 8)
    done = ow("ship", "--strict", **to(receiver.endpoint))
    assert done.returncode == 1
    assert "3 spans refused for good" in done.stderr


def test_without_an_endpoint_it_says_which_variable_to_set(ow: Cli) -> None:
    ow.record()
    done = ow("ship")
    assert done.returncode == 0
    assert done.stderr.startswith(
        f"no endpoint is set, so 3 spans stay in {ow.journal}; set OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    strict = ow("ship", "--strict")
    assert strict.returncode == 2
    assert "OW-126" in strict.stderr


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    done = ow("ship", "--dry-run", **to(receiver.endpoint))
    assert done.stderr == f"3 spans in {ow.journal} would be sent to {receiver.endpoint}/v1/traces\n"
    assert receiver.spans == []
    assert not (ow.journal / "traces.lock").exists()


def test_spans_recorded_for_another_endpoint_stay_and_are_named(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record(**to(REFUSED))
    done = ow("ship", **to(receiver.endpoint))
    assert done.returncode == 0
    assert f"3 spans recorded for another endpoint stay in {ow.journal}" in done.stderr
    assert receiver.spans == []


def test_it_waits_for_another_shipper_and_then_goes_on(ow: Cli, receiver: OtlpReceiver) -> None:
    ow.record()
    lock = DirectoryLock(ow.journal, "traces")
    assert lock.acquire()
    shipping = ow.start("ship", **to(receiver.endpoint))
    assert shipping.stderr is not None
    assert shipping.stderr.readline() == "another process ships this journal; waiting for it\n"
    lock.release()
    assert "3 spans delivered" in shipping.communicate(timeout=30)[1]


def test_a_shipper_that_keeps_the_journal_is_waited_for_no_longer_than_the_deadline(
    ow: Cli, receiver: OtlpReceiver
) -> None:
    ow.record()
    lock = DirectoryLock(ow.journal, "traces")
    assert lock.acquire()
    done = ow("ship", "--strict", "--deadline", "0.3", **to(receiver.endpoint))
    lock.release()
    assert done.returncode == 3
    assert "3 spans still waiting: another process ships this journal" in done.stderr
