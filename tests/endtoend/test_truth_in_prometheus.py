"""What a real Prometheus has of a bridge that is killed and restarted is what happened."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_workflow.bridge.daemon.addresses import Address
from tests.bridge.daemon.making import post, run_span, traces
from tests.endtoend.processes import HERE, clean_environment
from tests.servers.native import free_ports
from tests.servers.prometheus import start_prometheus
from tests.servers.web import get_json, until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

HOWS = ("success", "success", "success", "failure", "timeout", "skip", "cancellation", "killed")
RESULT = {"killed": "error"}
COUNT = 'cicd_pipeline_run_duration_seconds_count{cicd_pipeline_run_state="executing"}'
SCRAPE = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: bridge
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


@contextmanager
def bridge(state: Path, journal: Path, port: int, push: str = "") -> Iterator[subprocess.Popen[str]]:
    """The command as a user starts it, ready; killed at the end if it still runs."""
    words = ["--state", str(state), "--journal", str(journal), "--listen", f"http://127.0.0.1:{port}"]
    words += ["--push"] if push else ["--metrics", f"127.0.0.1:{port}"]
    pushing = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": push, "OTEL_METRIC_EXPORT_INTERVAL": "300"}
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_workflow", "bridge", *words],
        env=clean_environment(HOME=str(state), **(pushing if push else {})),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "is ready" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def record(journal: Path, hows: list[str]) -> None:
    """Have processes of their own record runs, four at a time; the killed ones die."""
    waiting = list(hows)
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < 4:
            running.append(
                subprocess.Popen(
                    [sys.executable, str(HERE / "programs" / "runs.py"), waiting.pop()],
                    env=clean_environment(OW_JOURNAL=str(journal)),
                    stderr=subprocess.DEVNULL,
                )
            )
        running.pop(0).wait(60)


def differences(url: str, query: str, label: str) -> dict[str, float]:
    """Last minus first sample of each series of a counter, by a label; a series that is born shows 0 first."""
    answer = get_json(f"{url}/api/v1/query", {"query": f"{query}[1h]"})
    found: Counter[str] = Counter()
    for series in answer["data"]["result"]:
        values = [float(value) for _, value in series["values"]]
        assert values == sorted(values), series["metric"]
        assert values[0] == 0, series["metric"]
        found[series["metric"][label]] += values[-1] - values[0]  # type: ignore[assignment]
    return {name: count for name, count in found.items() if count}


def feed(part: int, journal: Path, port: int, chance: random.Random) -> Counter[str]:
    """Record runs in the journal and send others over OTLP, each of those twice; returns how they ended."""
    hows = [chance.choice(HOWS) for _ in range(12)]
    record(journal, hows)
    for number in range(10):
        body = traces(run_span(part * 10 + number + 1, span=77, result="failure"))
        assert {200} == {post(Address("http", "127.0.0.1", port), body)[0] for _ in range(2)}
    return Counter(RESULT.get(how, how) for how in hows) + Counter(failure=10)


def test_run_counts_and_outcomes_equal_the_truth_through_a_kill_and_a_restart_of_the_bridge(
    tmp_path: Path, server_binary: Callable[[str], Path], table: list[str]
) -> None:
    server_binary("prometheus")
    state, journal = tmp_path / "state", tmp_path / "journal"
    state.mkdir()
    journal.mkdir()
    [port] = free_ports(["bridge"]).values()
    config = tmp_path / "prometheus.yml"
    config.write_text(SCRAPE % port)
    chance = random.Random(4711)
    prometheus, url = start_prometheus(config)
    try:
        with bridge(state, journal, port):  # killed while the last of it may not have been read, or shown
            truth = feed(0, journal, port, chance)
        with bridge(state, journal, port) as process:
            truth += feed(1, journal, port, chance)
            process.terminate()
            assert 0 == process.wait(20)
        with bridge(state, journal, port):
            truth += feed(2, journal, port, chance)
            begun = time.monotonic()
            until(lambda: differences(url, COUNT, "cicd_pipeline_result") == truth, 30)
        assert dict(truth) == differences(url, COUNT, "cicd_pipeline_result")
        number = sum(truth.values())
        table.append(f"bridge: {number} runs counted exactly, {time.monotonic() - begun:.1f} s after the last")
        for name in ("started", "finished"):
            counted = differences(url, f"otel_workflow_run_{name}_total", "cicd_pipeline_name")
            assert number == sum(counted.values())
        increase = get_json(f"{url}/api/v1/query", {"query": f"sum(round(increase({COUNT}[1h])))"})
        table.append(f"bridge: round(increase()) says {increase['data']['result'][0]['value'][1]} of {number}")
    finally:
        prometheus.stop()


def test_pushed_numbers_equal_the_truth_too(tmp_path: Path, server_binary: Callable[[str], Path]) -> None:
    server_binary("prometheus")
    state, journal = tmp_path / "state", tmp_path / "journal"
    state.mkdir()
    journal.mkdir()
    [port] = free_ports(["bridge"]).values()
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n")
    prometheus, url = start_prometheus(config)
    try:
        with bridge(state, journal, port, push=f"{url}/api/v1/otlp/v1/metrics"):
            truth = feed(0, journal, port, random.Random(42))
            until(lambda: differences(url, COUNT, "cicd_pipeline_result") == truth, 30)
        assert dict(truth) == differences(url, COUNT, "cicd_pipeline_result")
    finally:
        prometheus.stop()
