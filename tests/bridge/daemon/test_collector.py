"""A real Collector feeds the daemon, and sends back to it what it forwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.daemon.addresses import Address
from otel_workflow.bridge.destination import Destination
from tests.bridge.daemon.making import (
    health,
    numbers,
    place_of,
    post,
    run_span,
    running,
    runs,
    task_span,
    traces,
    until,
)
from tests.servers.native import NativeServer, free_ports
from tests.servers.otelcol import start_otelcol

pytestmark = pytest.mark.servers

CONFIG = """
extensions:
  health_check: {endpoint: "127.0.0.1:${env:HEALTH_PORT}"}
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:${env:OTLP_HTTP_PORT}"}
exporters:
  otlp_http: {endpoint: "http://127.0.0.1:${env:BRIDGE_PORT}", tls: {insecure: true}}
  otlp_grpc: {endpoint: "127.0.0.1:${env:BRIDGE_GRPC_PORT}", tls: {insecure: true}}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_http, otlp_grpc]}
"""


@pytest.fixture
def ports() -> dict[str, int]:
    return free_ports(["BRIDGE_PORT", "BRIDGE_GRPC_PORT"])


@pytest.fixture
def collector(ports: dict[str, int], tmp_path: Path, server_binary: Callable[[str], Path]) -> Iterator[NativeServer]:
    server_binary("otelcol")
    config = tmp_path / "otelcol.yaml"
    config.write_text(CONFIG)
    env = {name: str(port) for name, port in ports.items()}
    server = start_otelcol(config, ports=["OTLP_HTTP_PORT"], env=env)
    yield server
    server.stop()


def listening(ports: dict[str, int]) -> dict[str, Any]:
    """Both protocols at the ports that the Collector knows, and the page beside OTLP."""
    http = Address("http", "127.0.0.1", ports["BRIDGE_PORT"])
    return {"listen": (http, Address("grpc", "127.0.0.1", ports["BRIDGE_GRPC_PORT"])), "metrics": http}


def test_what_a_collector_sends_over_both_protocols_counts_once(
    tmp_path: Path, collector: NativeServer, ports: dict[str, int]
) -> None:
    to_collector = Address("http", "127.0.0.1", collector.ports["OTLP_HTTP_PORT"])
    with running(tmp_path / "state", **listening(ports)) as daemon:
        assert 200 == post(to_collector, traces(run_span(7), task_span(7, 2)))[0]
        until(lambda: numbers(place_of(daemon)).get("otel_workflow_bridge_duplicates_total") == 2)
        assert 1 == runs(numbers(place_of(daemon)))


def test_a_loop_through_a_real_collector_ends_by_itself(
    tmp_path: Path, collector: NativeServer, ports: dict[str, int]
) -> None:
    destination = Destination(f"http://127.0.0.1:{collector.ports['OTLP_HTTP_PORT']}/v1/traces")
    with running(tmp_path / "state", **listening(ports), destination=destination, forward=True) as daemon:
        place = place_of(daemon)
        assert 200 == post(place, traces(run_span(7)))[0]
        until(lambda: health(place)["heard_again"] == 2)  # once over each of the collector's ways back
        assert 200 == post(place, traces(run_span(8, span=9)))[0]
        until(lambda: health(place)["heard_again"] == 4)
        assert (2, 0) == (health(place)["delivered"], health(place)["backlog"])
        assert 2 == runs(numbers(place))
