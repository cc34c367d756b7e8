"""Are the numbers in Prometheus true? Short concurrent runs, some of them killed, counted in four ways.

Run it with ``python -m benchmarks truth``; ``BENCH_RUNS`` (default 500) says how many. Every way gets the same
runs: three workflows, each run a process of its own that lives for some tens of milliseconds, a fifth of them
killed. Ours is restarted once and killed once while it counts. What Prometheus then says is set beside what
really happened: by the difference of counters, and by ``round(increase())`` as a panel shows it.

Needs the Prometheus that ``make servers`` builds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = int(os.environ.get("BENCH_RUNS", "500"))
AT_ONCE = 8
RESULTS = ("success", "failure", "error")
SCRAPE = """
global: {scrape_interval: 1s}
otlp: {translation_strategy: UnderscoreEscapingWithSuffixes}
scrape_configs:
  - job_name: bridge
    scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4]
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


@dataclass(frozen=True)
class Planned:
    """One run: its workflow, how it ends (``error``: it is killed), and how long it works, in seconds."""

    workflow: str
    result: str
    seconds: float


def plan() -> list[Planned]:
    """Return the runs, the same ones at every call."""
    chance = random.Random(20261121)
    return [
        Planned(
            chance.choice(("lint", "test", "deploy")),
            chance.choices(RESULTS, (6, 2, 2))[0],
            chance.uniform(0.005, 0.08),
        )
        for _ in range(RUNS)
    ]


# -- what a run does, in a forked child ----------------------------------------------------------


def _ours(run: Planned, place: str) -> None:
    import otel_workflow as ow

    ow.configure(journal=place)
    with ow.workflow(run.workflow) as root:
        with ow.phase("prepare"):
            pass
        with ow.phase("work"):
            time.sleep(run.seconds)
            if run.result == "error":
                os.kill(os.getpid(), signal.SIGKILL)
            if run.result == "failure":
                root.fail("as planned")


def _stock(run: Planned, endpoint: str, *, delta: bool = False, named: bool = False) -> None:
    """The stock SDK: a counter, pushed at the end of the process, which a kill does not wait for."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import Counter as SdkCounter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    temporality = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    exporter = OTLPMetricExporter(f"{endpoint}/api/v1/otlp/v1/metrics", preferred_temporality={SdkCounter: temporality})
    kind = f"{'delta' if delta else 'cumulative'}{'_named' if named else ''}"
    instance = {"service.instance.id": os.urandom(8).hex()} if named else {}
    provider = MeterProvider(
        [PeriodicExportingMetricReader(exporter)],
        Resource({"service.name": "stock", **instance}),
        shutdown_on_exit=False,
    )
    counter = provider.get_meter("truth").create_counter(f"{kind}_runs")
    time.sleep(run.seconds)
    if run.result == "error":
        # Nobody counts a killed run from inside; the count is the only thing that could have been made.
        counter.add(1, {"pipeline": run.workflow, "result": run.result})
        os.kill(os.getpid(), signal.SIGKILL)
    counter.add(1, {"pipeline": run.workflow, "result": run.result})
    provider.shutdown()


def _in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _perform(work: Callable[[Planned], None], midway: Callable[[int], None] = lambda _: None) -> None:
    """Start all runs, some at once; ``midway`` is told of each that begins."""
    living: set[int] = set()
    for number, run in enumerate(plan()):
        midway(number)
        while len(living) >= AT_ONCE:
            living.discard(os.wait()[0])
        living.add(_in_child(lambda run=run: work(run)))  # type: ignore[misc]
    for child in living:
        os.waitpid(child, 0)


# -- the bridge and Prometheus -------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Bridge:
    """The daemon, which can be ended, killed and started again at the same address."""

    def __init__(self, journal: Path, state: Path, port: int) -> None:
        self.command = [
            sys.executable, "-m", "otel_workflow", "bridge", "--journal", str(journal),
            "--metrics", f"127.0.0.1:{port}", "--state", str(state),
        ]  # fmt: skip
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.start()

    def start(self) -> None:
        """Start it and wait until its page can be read."""
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL, env=_clean())
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url, timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("the bridge did not come up")

    def end(self, by: signal.Signals) -> None:
        """End it, one way or the other."""
        self.process.send_signal(by)
        self.process.wait()


def _clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "OW_"))}


@contextmanager
def prometheus(port: int, folder: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes the bridge and takes pushes; yield its address."""
    from tests.servers.prometheus import start_prometheus

    config = folder / "prometheus.yaml"
    config.write_text(SCRAPE % port)
    server, url = start_prometheus(config, ["--enable-feature=otlp-deltatocumulative"])
    try:
        yield url
    finally:
        server.stop()


def ask(url: str, query: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers to a query now."""
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


def _counts(url: str, query: str, workflow: str, result: str) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for series in ask(url, query):
        labels = series["metric"]
        counts[labels.get(workflow, ""), labels.get(result, "")] += round(float(series["value"][1]))
    return Counter({key: count for key, count in counts.items() if count})


# -- the table -----------------------------------------------------------------------------------

_OURS = "cicd_pipeline_run_duration_seconds_count{cicd_pipeline_run_state='executing'}"
_WAYS = {
    "otel-workflow bridge, restarted and killed": (_OURS, "cicd_pipeline_name", "cicd_pipeline_result"),
    "stock SDK, cumulative push": ("cumulative_runs_total", "pipeline", "result"),
    "stock SDK, cumulative push, an instance id each": ("cumulative_named_runs_total", "pipeline", "result"),
    "stock SDK, delta push, deltatocumulative": ("delta_runs_total", "pipeline", "result"),
}


def _line(url: str, name: str, truth: Counter[tuple[str, str]], window: int) -> str:
    series, workflow, result = _WAYS[name]
    exact = _counts(url, f"max_over_time({series}[{window}s]) - min_over_time({series}[{window}s])", workflow, result)
    panel = _counts(url, f"sum by ({workflow}, {result}) (increase({series}[{window}s]))", workflow, result)
    failed = sum(count for (_, how), count in exact.items() if how != "success")
    ratio = f"{failed / exact.total():.3f}" if exact.total() else "no data"
    return (
        f"| {name} | {exact.total()} | {'yes' if exact == truth else 'no'} | {ratio} "
        f"| {panel.total()} ({(panel.total() - truth.total()) / truth.total():+.1%}) |"
    )


def main() -> None:
    """Print the table."""
    truth = Counter((run.workflow, run.result) for run in plan())
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), _free_port()
        journal, state = folder / "journal", folder / "state"
        bridge = Bridge(journal, state, port)

        def midway(number: int) -> None:
            if number in (RUNS // 3, RUNS * 2 // 3):
                bridge.end(signal.SIGTERM if number == RUNS // 3 else signal.SIGKILL)
                bridge.start()

        with prometheus(port, folder) as url:
            began = time.monotonic()
            time.sleep(3)  # a scrape before the first run
            _perform(lambda run: _ours(run, str(journal)), midway)
            _perform(lambda run: _stock(run, url))
            _perform(lambda run: _stock(run, url, named=True))
            _perform(lambda run: _stock(run, url, delta=True))
            time.sleep(5)  # births are released by a scrape, and the last counts need one more
            window = int(time.monotonic() - began) + 5
            print(f"### {RUNS} runs of {AT_ONCE} processes at once, a fifth of them killed: what Prometheus says\n")
            print("| counted by | runs | equal to the truth | failure ratio | `round(increase())` |")
            print("|---|---:|---|---:|---:|")
            failed = sum(count for (_, how), count in truth.items() if how != "success")
            print(f"| (the truth) | {truth.total()} | | {failed / truth.total():.3f} | |")
            for way in _WAYS:
                print(_line(url, way, truth, window))
        bridge.end(signal.SIGTERM)


if __name__ == "__main__":
    main()
