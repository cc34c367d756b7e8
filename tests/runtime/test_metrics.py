"""``configure(metrics="push")``: a long-lived worker without a daemon counts what it records, and pushes it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import otel_workflow
from otel_workflow.errors import ConfigError
from otel_workflow.testing import OtlpReceiver
from tests.servers.prometheus import start_prometheus
from tests.servers.web import get_json, until

ROOT = Path(__file__).parents[2]
RUNS = "otel_workflow.run.finished"
PHASES = "otel_workflow.phase.runs"


def run(journal: Path, source: str, **extra: str) -> tuple[str, str]:
    """Run a worker to its end; returns what it said."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(journal), "OW_JOURNAL": str(journal)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env={**environ, **extra},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout, done.stderr


def values(receiver: OtlpReceiver, name: str) -> dict[str, list[int]]:
    """All values that came of a counter, summed over its series, in order, by instance."""
    found: dict[str, list[int]] = {}
    for metric in receiver.metrics:
        if metric["name"] == name:
            instance = metric["resource"]["service.instance.id"]
            found.setdefault(instance, []).append(sum(point["value"] for point in metric["points"]))
    return found


WORK = """
import otel_workflow as ow
def work(runs):
    for number in range(runs):
        with ow.workflow("nightly"):
            with ow.phase("compile") as p:
                if number % 2:
                    p.fail("no")
"""


def test_each_run_counts_once_after_its_series_was_shown_at_0(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        run(tmp_path, WORK + "ow.configure(metrics='push')\nwork(5)\n", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        [shown] = values(receiver, RUNS).values()
        [phases] = values(receiver, PHASES).values()
        assert ((0, 5), (0, 5)) == ((shown[0], shown[-1]), (phases[0], phases[-1]))
        assert (sorted(shown), sorted(phases)) == (shown, phases)
        starts = {p["start_ns"] for m in receiver.metrics if m["name"] == RUNS for p in m["points"]}
        times = [p["time_ns"] for m in receiver.metrics if m["name"] == RUNS for p in m["points"]]
        assert (1, len(set(times))) == (len(starts), len(times))
        assert {"nightly"} == {metric["resource"]["service.name"] for metric in receiver.metrics}
        assert {"cumulative"} == {m["temporality"] for m in receiver.metrics if m["kind"] != "gauge"}
        assert 10 == len(receiver.spans)


def test_it_pushes_each_interval_and_a_flush_waits_for_what_was_recorded(tmp_path: Path) -> None:
    source = (
        WORK
        + """
rt = ow.configure(metrics="push")
work(2)
print(rt.flush(timeout=20))
work(3)
print(rt.flush(timeout=20))
import os, time
end = time.monotonic() + 20
while not os.path.exists(os.environ["ENOUGH"]) and time.monotonic() < end:
    time.sleep(0.01)
"""
    )
    enough = tmp_path / "enough"
    with OtlpReceiver() as receiver, ThreadPoolExecutor() as pool:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "50"}
        worker = pool.submit(run, tmp_path, source, **env, ENOUGH=str(enough))
        assert until(lambda: any(len(shown) >= 6 for shown in values(receiver, RUNS).values()), timeout=20)
        enough.touch()
        said, _ = worker.result()
        [shown] = values(receiver, RUNS).values()
        assert ("True\nTrue\n", True) == (said, {0, 2, 5} <= set(shown))
        assert len(shown) >= 6
        assert sorted(shown) == shown


def test_two_workers_of_one_journal_count_each_its_own_under_ids_of_their_own(tmp_path: Path) -> None:
    source = (
        WORK
        + """
import os
rt = ow.configure(metrics="push")
work(2)
rt.flush(timeout=20)
child = os.fork()
work(3 if child else 4)
if child:
    os.waitpid(child, 0)
rt.shutdown()
os._exit(0)
"""
    )
    with OtlpReceiver() as receiver:
        run(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert [4, 5] == sorted(shown[-1] for shown in values(receiver, RUNS).values())
        assert {0} == {shown[0] for shown in values(receiver, RUNS).values()}


def test_a_process_that_records_in_memory_counts_too(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        source = WORK + "ow.configure(metrics='push')\nwork(5)\n"
        _, said = run(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OW_JOURNAL="/proc/nowhere")
        assert "in memory" in said
        assert [5] == [shown[-1] for shown in values(receiver, RUNS).values()]


def test_a_phase_that_is_open_at_the_end_is_counted_as_the_error_it_is(tmp_path: Path) -> None:
    source = WORK + "ow.configure(metrics='push')\nopen_for_ever = ow.workflow('nightly').__enter__()\n"
    with OtlpReceiver() as receiver:
        run(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        assert [1] == [shown[-1] for shown in values(receiver, RUNS).values()]
        assert [1] == [shown[-1] for shown in values(receiver, "cicd.pipeline.run.errors").values()]


@pytest.fixture
def black_hole() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("where", ["refused", "black hole"])
def test_a_dead_collector_holds_up_the_end_no_longer_than_for_spans_alone(
    tmp_path: Path, where: str, black_hole: str
) -> None:
    source = (
        WORK
        + """
import time
rt = ow.configure(metrics="push")
work(2)
begun = time.monotonic()
print(rt.shutdown(), time.monotonic() - begun)
"""
    )
    endpoint = black_hole if where == "black hole" else "http://127.0.0.1:9"
    said, _ = run(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    done, seconds = said.split()
    assert ("False", True) == (done, float(seconds) < 2.0)  # by how much it stays below is a benchmark's to say


def test_without_an_endpoint_it_says_so_and_records_as_ever(tmp_path: Path) -> None:
    _, said = run(tmp_path, WORK + "ow.configure(metrics='push')\nwork(1)\n")
    assert 1 == said.count("pushes no metrics: set OTEL_EXPORTER_OTLP_ENDPOINT")


def test_metrics_go_where_metrics_go(tmp_path: Path) -> None:
    with OtlpReceiver() as spans, OtlpReceiver() as metrics:
        source = WORK + "ow.configure(metrics='push')\nwork(1)\n"
        there = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{metrics.endpoint}/v1/metrics"}
        run(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=spans.endpoint, **there)
        assert (0, 0, True) == (len(spans.metrics), len(metrics.spans), len(metrics.metrics) > 0)


def test_nothing_of_it_is_loaded_unless_asked_for(tmp_path: Path) -> None:
    source = (
        WORK
        + """
import sys
ow.configure()
work(1)
print([name for name in sys.modules if name == "sqlite3" or name.endswith((".bridge.metrics", ".runtime.metrics"))])
"""
    )
    assert "[]\n" == run(tmp_path, source)[0]


def test_any_other_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"OW-101: metrics='pull' is no way .* \(give \"push\", or leave it out\)"):
        otel_workflow.configure(metrics="pull")  # type: ignore[arg-type]


@pytest.mark.servers
def test_a_real_prometheus_has_the_truth_of_a_worker_that_pushes(
    server_binary: Callable[[str], Path], tmp_path: Path
) -> None:
    server_binary("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n")
    server, url = start_prometheus(config)
    try:
        source = WORK + "import time\nrt = ow.configure(metrics='push')\nwork(7)\nrt.flush(timeout=20)\nwork(4)\n"
        endpoint = f"{url}/api/v1/otlp/v1/metrics"
        before = time.time()
        run(tmp_path / "j", source, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint)
        query = {"query": f"otel_workflow_run_finished_total[{int(time.time() - before) + 60}s]"}
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = get_json(f"{url}/api/v1/query", query)["data"]["result"]
            return bool(found)

        assert until(is_there, timeout=20)
        [series] = found
        samples = [float(value) for _, value in series["values"]]
        assert (0.0, 11.0, samples) == (samples[0], samples[-1], sorted(samples))
        assert 36 == len(series["metric"]["instance"])
    finally:
        server.stop()
