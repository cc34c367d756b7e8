"""What a real Prometheus has stored is the truth: 200 runs in bursts, a kill in the middle, everything told again."""

from __future__ import annotations

import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.metrics import Began, Finished, MetricsWriter
from tests.bridge.metrics.making import SECOND, phase_finished, run_began, run_finished, samples
from tests.bridge.metrics.truth import truth_of
from tests.servers.prometheus import start_prometheus
from tests.servers.web import get_json, until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

_BURSTS, _RUNS_EACH = 10, 20
_RANGE = "10m"
_INCREASED = (
    "cicd_pipeline_run_duration_seconds_count",
    "cicd_pipeline_run_errors_total",
    "otel_workflow_phase_runs_total",
)


class Exporter:
    """Serves the pages of the writer of the moment, and counts those that were read to their end."""

    def __init__(self, writer: MetricsWriter) -> None:
        self.writer = writer
        self.scrapes = 0
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                writer = exporter.writer
                page = writer.page(self.headers.get("Accept", ""))
                self.send_response(200)
                self.send_header("Content-Type", page.content_type)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)
                writer.served(page.serial)
                exporter.scrapes += 1

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the base has it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for_scrapes(self, count: int) -> None:
        wanted = self.scrapes + count
        assert until(lambda: self.scrapes >= wanted, timeout=30), "Prometheus does not scrape"


@contextmanager
def prometheus(tmp_path: Path, port: int) -> Iterator[str]:
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: bridge, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    server, url = start_prometheus(config, ["--enable-feature=exemplar-storage"])
    try:
        yield url
    finally:
        server.stop()


def facts_of(dice: random.Random, number: int) -> list[Began | Finished]:
    """A run with its phases, of random outcomes; a cause is met for the first time now and then."""
    now = 1_000_000 * (dice.getrandbits(20) + number) + _now()
    outcome = dice.choice(["success"] * 4 + ["failure", "error", "timeout", "cancellation", "skip"])
    cause = f"E{number // 30}" if number % 3 else None
    workflow = dice.choice(("ci", "nightly"))
    queued = dice.choice((None, now - 5 * SECOND))
    facts: list[Began | Finished] = [run_began(number, workflow=workflow, at=now, queued=queued)]
    facts += [
        phase_finished(
            number * 10 + phase,
            dice.choice(("lint", "test", f"step-{number // 40}")),
            outcome,
            cause,
            trace=number,
            workflow=workflow,
            start=now,
            took=dice.expovariate(0.01),
            retries=dice.randrange(2),
        )
        for phase in range(dice.randrange(4))
    ]
    end = run_finished(
        number, outcome, cause, workflow=workflow, start=now, took=dice.expovariate(0.01), queued_ns=queued
    )
    return [*facts, end]


def _now() -> int:
    return time.time_ns() - 60 * SECOND


def tell(writer: MetricsWriter, facts: list[Began | Finished]) -> None:
    for fact in facts:
        if isinstance(fact, Began):
            writer.began(fact)
        else:
            writer.finished(fact)


def stored(url: str) -> dict[str, list[float]]:
    """The raw samples of every counter and histogram, by the name the truth has for it."""
    selector = '{job="bridge",__name__=~".+_(total|count|bucket|sum)"}'
    answer = get_json(f"{url}/api/v1/query", {"query": f"{selector}[{_RANGE}]"})
    return {name_of(each["metric"]): [float(value) for _, value in each["values"]] for each in answer["data"]["result"]}


def increase_of(url: str, metric: str) -> dict[str, float]:
    """What ``increase`` makes of a counter: it extrapolates, so it is near the truth and seldom it."""
    answer = get_json(f"{url}/api/v1/query", {"query": f"increase({metric}[{_RANGE}])"})
    return {
        name_of({**each["metric"], "__name__": metric}): float(each["value"][1]) for each in answer["data"]["result"]
    }


def name_of(metric: dict[str, str]) -> str:
    labels = {key: value for key, value in metric.items() if key not in ("__name__", "job", "instance")}
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{metric['__name__']}{{{pairs}}}"


def test_the_differences_of_the_counters_are_the_truth(
    server_binary: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server_binary("prometheus")
    dice = random.Random(20261121)
    bursts = [[facts_of(dice, burst * _RUNS_EACH + n + 1) for n in range(_RUNS_EACH)] for burst in range(_BURSTS)]
    everything = [fact for burst in bursts for run in burst for fact in run]
    exporter = Exporter(MetricsWriter(tmp_path / "state", scrape_interval=1.0))
    graves = []
    with prometheus(tmp_path, exporter.server.server_address[1]) as url:
        exporter.wait_for_scrapes(1)
        for number, burst in enumerate(bursts):
            for run in dice.sample(burst, len(burst)):
                tell(exporter.writer, run)
                if dice.random() < 0.2:
                    exporter.writer.commit()
            if number in (4, 7):  # killed with half a burst not committed; its lock falls, nothing else is tidied
                graves.append(exporter.writer)
                exporter.writer._state._lock.release()
                exporter.writer = MetricsWriter(tmp_path / "state", scrape_interval=1.0)
                tell(exporter.writer, [fact for told in bursts[: number + 1] for run in told for fact in run])
            exporter.writer.commit()
            exporter.wait_for_scrapes(dice.randrange(3))
        for _ in range(2):
            tell(exporter.writer, dice.sample(everything, len(everything)))
            exporter.writer.commit()
        exporter.wait_for_scrapes(4)
        kept = stored(url)
        increased = {name: value for metric in _INCREASED for name, value in increase_of(url, metric).items()}
        exemplars = get_json(
            f"{url}/api/v1/query_exemplars",
            {"query": "cicd_pipeline_run_duration_seconds_bucket", "start": str(_now() / 1e9), "end": "9999999999"},
        )
    exporter.server.shutdown()
    exporter.server.server_close()
    for writer in (*graves, exporter.writer):
        writer.close()

    for name, values in kept.items():
        assert values == sorted(values), f"{name} fell: {values}"
        assert 0 == values[0] or name.startswith("otel_workflow_bridge"), f"{name} was first stored at {values[0]}"
    truth = truth_of(everything)
    differences = {name: int(values[-1] - values[0]) for name, values in kept.items() if name in truth}
    assert truth == differences
    others = {
        name: values[-1]
        for name, values in kept.items()
        if name not in truth and name.partition("{")[0].endswith(("_total", "_count")) and values[-1]
    }
    assert {
        name for name in others if not name.startswith(("otel_workflow_bridge_", "otel_workflow_run_recovery_"))
    } == set()
    assert exemplars["data"], "Prometheus took no exemplar"

    wrong = {name: (round(value), truth.get(name, 0)) for name, value in increased.items()}
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
    worst = max((abs(got - true) / true for got, true in wrong.values() if true), default=0.0)
    with capsys.disabled():
        print(f"\n{len(truth)} counters exact by difference, {sum(truth.values())} counts;", end=" ")
        print(f"round(increase()) differs for {len(wrong)} of {len(increased)}, by {worst:.0%} at most")


def test_pushes_are_stored_under_the_names_of_the_page(server_binary: Callable[[str], Path], tmp_path: Path) -> None:
    server_binary("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    writer = MetricsWriter(tmp_path / "state", instance="shard-1")
    facts = facts_of(random.Random(7), 1)
    tell(writer, facts)
    writer.commit()
    server, url = start_prometheus(config)
    try:
        for _ in range(2):
            body, serial = writer.request()
            assert 200 == post(f"{url}/api/v1/otlp/v1/metrics", body)
            writer.pushed(serial)
        page = samples(writer.page().body).keys()
        selector = '{job="otel-workflow-bridge",instance="shard-1",__name__!="target_info"}'
        found = get_json(f"{url}/api/v1/query", {"query": selector})["data"]["result"]
    finally:
        server.stop()
        writer.close()
    values = {name_of(each["metric"]): float(each["value"][1]) for each in found}
    assert {plain(name) for name in page} == {plain(name) for name in values}
    assert truth_of(facts) == {name: values[name] for name in truth_of(facts)}


def plain(name: str) -> str:
    """A sample's name with bounds as one of the two writes them: 1 and 1.0 are one bound."""
    return re.sub(r'le="(\d+)\.0"', r'le="\1"', name)


def post(url: str, body: bytes) -> int:
    asked = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10) as answer:
        status: int = answer.status
        return status
