"""Rows: 4xx, a span that cannot be taken or encoded: a corpus of odd spans against the real Jaeger and Collector.

Whatever is valid arrives, whatever is refused is one dead letter, the good ones between them all
arrive, and the books balance. What a server makes of a broken span is its own affair.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.directory import DirectoryShipper
from otel_workflow.journal import read_dead_letters
from tests.endtoend.processes import Program
from tests.endtoend.shipping import ship
from tests.faults.poison import BROKEN, ODD, written
from tests.servers.jaeger import Jaeger
from tests.servers.otelcol import start_otelcol
from tests.servers.web import until

pytestmark = pytest.mark.servers

Protocol = Literal["http/protobuf", "grpc"]
COLLECTOR = """
extensions:
  health_check: {endpoint: "127.0.0.1:${env:HEALTH_PORT}"}
receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:${env:HTTP_PORT}"}
      grpc: {endpoint: "127.0.0.1:${env:GRPC_PORT}"}
exporters:
  file: {path: "OUT"}
service:
  telemetry: {metrics: {level: none}}
  extensions: [health_check]
  pipelines: {traces: {receivers: [otlp], exporters: [file]}}
"""


class Backend(NamedTuple):
    """A real server: its base URLs, and which span ids (hex) of a trace it has."""

    http: str
    grpc: str
    has: Callable[[str], set[str]]

    def destination(self, protocol: Protocol) -> Destination:
        return Destination(self.grpc, protocol="grpc") if protocol == "grpc" else Destination(f"{self.http}/v1/traces")


@pytest.fixture(params=["jaeger", "collector"])
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found


@pytest.fixture(scope="module")
def jaeger_backend(jaeger: Jaeger) -> Backend:
    def has(trace: str) -> set[str]:
        found = jaeger.trace(trace)
        return {span["spanID"] for span in found["spans"]} if found else set()

    grpc = jaeger.grpc_endpoint
    return Backend(jaeger.endpoint, grpc if "://" in grpc else f"http://{grpc}", has)


@pytest.fixture(scope="module")
def collector_backend(
    tmp_path_factory: pytest.TempPathFactory, server_binary: Callable[[str], Path]
) -> Iterator[Backend]:
    server_binary("otelcol")
    folder = tmp_path_factory.mktemp("collector")
    config, out = folder / "config.yaml", folder / "spans.json"
    config.write_text(COLLECTOR.replace("OUT", str(out)))
    server = start_otelcol(config, ports=["HTTP_PORT", "GRPC_PORT"])

    def has(trace: str) -> set[str]:
        # Not by a parser: some of it is nested too deep, and some is no UTF-8.
        found = re.findall(r'"traceId":"(\w+)","spanId":"(\w+)"', out.read_text(errors="replace"))
        return {own for of, own in found if of == trace}

    yield Backend(*(f"http://127.0.0.1:{server.ports[name]}" for name in ("HTTP_PORT", "GRPC_PORT")), has)
    server.stop()


class Shipped(NamedTuple):
    """How a journal's shipping ended; ``dead`` are dead letters."""

    done: bool
    delivered: int
    refused: int
    dead: int


def shipped(journal: Path, destination: Destination) -> Shipped:
    """Ship a directory until nothing waits or ten tries have failed, without the pauses between them."""
    line = DirectoryShipper(journal, client_for(destination), "")
    assert line.acquire()
    try:
        done = False
        for _ in range(10):
            line.shipper.not_before = 0.0
            if done := line.shipper.drain(line.sources(), time.monotonic() + 20, force=True):
                line.retire()
                break
        books = line.shipper.books
        return Shipped(done, books.delivered, books.refused, books.dead)
    finally:
        line.release()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_whatever_is_odd_but_valid_arrives_at_a_real_server(
    backend: Backend, protocol: Protocol, tmp_path: Path
) -> None:
    trace = os.urandom(16)
    names = written(tmp_path, trace, ODD)
    assert Shipped(True, len(names), 0, 0) == shipped(tmp_path, backend.destination(protocol))
    until(lambda: backend.has(trace.hex()) >= names.keys(), timeout=10)
    assert [] == [names[own] for own in sorted(names.keys() - backend.has(trace.hex()))]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_is_broken_costs_itself_alone_at_a_real_server(
    backend: Backend, protocol: Protocol, tmp_path: Path
) -> None:
    """One dead letter for each refused span, with its bytes; everything between them arrives."""
    trace = os.urandom(16)
    names = written(tmp_path, trace, ODD, BROKEN)
    end = shipped(tmp_path, backend.destination(protocol))
    letters = list(read_dead_letters(tmp_path))
    assert (True, len(names)) == (end.done, end.delivered + end.refused)
    assert end.refused == end.dead == len(letters)
    assert 0 < end.refused <= len(BROKEN)
    assert all(letter["span"] and letter["reason"] for letter in letters)
    whole = {own for own, name in names.items() if name not in BROKEN}
    until(lambda: backend.has(trace.hex()) >= whole, timeout=10)
    here = backend.has(trace.hex())
    assert [] == [names[own] for own in sorted(whole - here)]
    assert here.isdisjoint(letter["span_id"] for letter in letters)


def test_a_librarys_nan_does_not_make_its_trace_unreadable(jaeger: Jaeger, tmp_path: Path) -> None:
    """Jaeger takes the number, and answers with 500 from then on when the trace is asked for."""
    with Program("odd_library", OW_JOURNAL=str(tmp_path)) as program:
        assert 0 == program.finish().code
    ship(tmp_path, jaeger.endpoint)
    assert until(lambda: len(jaeger.search("odd")) == 1, timeout=10)
    [trace] = jaeger.search("odd")
    [span] = [span for span in trace["spans"] if span["operationName"] == "train"]
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    assert ("nan", 0.25) == (tags["loss"], tags["rate"])
    assert ["-inf", "0.5", "inf"] == json.loads(tags["bounds"])
    fields = {field["key"]: field["value"] for log in span["logs"] for field in log["fields"]}
    assert "inf" == fields["gradient"]
