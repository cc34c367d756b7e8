"""The Prometheus that tests get really runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.prometheus import start_prometheus
from tests.servers.web import answers, get_json

pytestmark = pytest.mark.servers


def test_it_starts_answers_and_stops(server_binary: Callable[[str], Path], tmp_path: Path) -> None:
    server_binary("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n")
    server, url = start_prometheus(config)
    try:
        answer = get_json(f"{url}/api/v1/query", {"query": "vector(42)"})
        assert answer["data"]["result"][0]["value"][1] == "42"
        build = get_json(f"{url}/api/v1/status/buildinfo")
        assert "version" in build["data"]
    finally:
        server.stop()
    assert not answers(f"{url}/-/healthy")
