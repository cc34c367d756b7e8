from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from otel_workflow.testing import OtlpReceiver
from tests.cli.conftest import Cli
from tests.servers.jaeger import Jaeger


@pytest.fixture
def little_jaeger(receiver: OtlpReceiver) -> Iterator[str]:
    """Jaeger's old query API, as far as doctor asks it, over what the receiver got."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.path.rpartition("/")[2]
            found = [span["trace_id"] for span in receiver.spans if span["trace_id"] == wanted]
            body = json.dumps({"data": found or None}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def checks(ow: Cli, *words: str, **extra: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(ow("doctor", "--json", *words, **extra).stdout)["checks"]}


def test_without_an_endpoint_it_says_so_and_does_not_fail(ow: Cli) -> None:
    done = ow("doctor")
    assert done.returncode == 0
    assert "nothing is sent (OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318)" in done.stdout


def test_it_names_versions_settings_with_their_origin_and_the_journal(ow: Cli) -> None:
    found = checks(ow, OW_DEADLINE="7", OTEL_EXPORTER_OTLP_HEADERS="authorization=secret")
    assert "opentelemetry-sdk 1." in found["versions"]["said"]
    assert "OW_DEADLINE=7" in found["settings"]["said"]
    assert "secret" not in found["settings"]["said"]
    assert found["journal"]["said"] == f"{ow.journal} (OW_JOURNAL)"


def test_a_test_span_is_sent_and_read_back(ow: Cli, receiver: OtlpReceiver, little_jaeger: str) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    assert checks(ow, "--jaeger", little_jaeger, **endpoint)["read back"]["state"] == "ok"
    by_url = checks(ow, OW_TRACE_URL=f"{little_jaeger}/trace/{{trace_id}}", **endpoint)
    assert by_url["read back"]["state"] == "ok"
    assert checks(ow, **endpoint)["read back"]["state"] == "note"
    assert {span["name"] for span in receiver.spans} == {"otel-workflow doctor"}


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, "endpoint"),
        ({"OW_DEADLINE": "soon"}, "settings"),
        ({"OW_DISABLED": "1"}, "recording"),
        ({"OW_JOURNAL": "/dev/null/x"}, "journal"),
    ],
)
def test_a_check_that_fails_is_named_and_makes_it_1(ow: Cli, extra: dict[str, str], name: str) -> None:
    assert ow("doctor", **extra).returncode == 1
    assert checks(ow, **extra)[name]["state"] == "failed"


@pytest.mark.servers
def test_a_real_jaeger_gives_the_test_span_back(ow: Cli, jaeger: Jaeger) -> None:
    found = checks(ow, "--jaeger", jaeger.query, OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.endpoint)
    assert (found["endpoint"]["state"], found["read back"]["state"]) == ("ok", "ok")


def test_a_test_span_is_sent_over_grpc_too(ow: Cli) -> None:
    with OtlpReceiver(protocol="grpc") as receiver:
        done = ow("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        assert ["otel-workflow doctor"] == [span["name"] for span in receiver.spans]
    assert 0 == done.returncode
    assert re.search(r"endpoint +\S+ took a test span in \d+ ms", done.stdout)
