"""The Collector that tests get really runs and takes OTLP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from tests.servers.otelcol import start_otelcol
from tests.servers.spans import send
from tests.servers.web import answers, until

pytestmark = pytest.mark.servers

CONFIG = """
extensions:
  health_check: {endpoint: "127.0.0.1:${env:HEALTH_PORT}"}
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:${env:OTLP_HTTP_PORT}"}
exporters:
  file: {path: spans.json, flush_interval: 50ms}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
"""


def test_it_starts_takes_spans_and_stops(server_binary: Callable[[str], Path], tmp_path: Path) -> None:
    server_binary("otelcol")
    config = tmp_path / "otelcol.yaml"
    config.write_text(CONFIG)
    server = start_otelcol(config, ports=["OTLP_HTTP_PORT"])
    try:
        endpoint = f"http://127.0.0.1:{server.ports['OTLP_HTTP_PORT']}/v1/traces"
        trace_id = send(OTLPSpanExporter(endpoint=endpoint), "tests", "1")
        written = server.folder / "spans.json"
        assert until(lambda: written.exists() and trace_id in written.read_text(), timeout=10)
        json.loads(written.read_text().splitlines()[0])
    finally:
        server.stop()
    assert not answers(f"http://127.0.0.1:{server.ports['HEALTH_PORT']}/")
