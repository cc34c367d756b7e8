"""Each way to a Jaeger works by itself and leaves nothing behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import jaeger_ways
from tests.servers.docker_engine import Engine, join_engine
from tests.servers.jaeger import Jaeger, NoJaeger
from tests.servers.jaeger_container import Container, build_image, remove_orphans
from tests.servers.spans import check_round_trip, over_http
from tests.servers.unavailable import Unavailable
from tests.servers.web import answers

pytestmark = pytest.mark.servers

Binary = Callable[[str], Path]


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A docker engine, or a skip."""
    try:
        joined = join_engine()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield joined
    joined.leave()


def test_as_a_process(server_binary: Binary) -> None:
    server_binary("jaeger")
    jaeger = jaeger_ways.as_process()
    assert jaeger.how == "native process"
    check_round_trip(jaeger, over_http(jaeger))
    jaeger.stop()
    assert not answers(f"{jaeger.query}/api/services")


def test_in_a_container_of_a_built_image(server_binary: Binary, engine: Engine) -> None:
    server_binary("jaeger")
    jaeger = jaeger_ways.in_container([jaeger_ways.BUILT])
    assert jaeger.how == "container from a built image"
    check_round_trip(jaeger, over_http(jaeger))
    jaeger.stop()
    assert not answers(f"{jaeger.query}/api/services")


def test_in_a_container_of_the_public_image(engine: Engine) -> None:
    try:
        jaeger = jaeger_ways.in_container([jaeger_ways.PUBLIC])
    except Unavailable as reason:
        pytest.skip(str(reason))
    check_round_trip(jaeger, over_http(jaeger))
    jaeger.stop()


def test_a_killed_run_leaves_no_container(server_binary: Binary, engine: Engine) -> None:
    image = build_image(engine.client, server_binary("jaeger"))
    with subprocess.Popen(["sleep", "60"]) as other_run:
        orphan = Container(engine.client, image, owner=other_run.pid)
        other_run.kill()
    mine = Container(engine.client, image)
    try:
        remove_orphans(engine.client)
        assert not answers(f"http://127.0.0.1:{orphan.ports['health']}/status")
        assert answers(f"http://127.0.0.1:{mine.ports['health']}/status")
    finally:
        mine.stop()
        orphan.stop()


def test_the_given_one_comes_first(jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OW_TEST_JAEGER", f"{jaeger.endpoint},{jaeger.query}/")
    found = jaeger_ways.find_jaeger()
    assert isinstance(found, Jaeger)
    assert (found.endpoint, found.query) == (jaeger.endpoint, jaeger.query)
    assert found.how == "endpoint given"
    assert found.grpc_endpoint == "http://127.0.0.1:4317"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("http://127.0.0.1:4318", "names one URL"),
        ("http://127.0.0.1:1,http://127.0.0.1:1", "nothing answers at http://127.0.0.1:1/api"),
    ],
)
def test_a_slip_in_the_given_one_finds_no_other(monkeypatch: pytest.MonkeyPatch, value: str, complaint: str) -> None:
    monkeypatch.setenv("OW_TEST_JAEGER", value)
    found = jaeger_ways.find_jaeger()
    assert isinstance(found, NoJaeger)
    assert complaint in found.how


def test_without_any_way_every_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OW_TEST_JAEGER", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    found = jaeger_ways.find_jaeger()
    assert isinstance(found, NoJaeger)
    assert "DOCKER_HOST names another one" in found.reason
    assert "python -m tests.servers build jaeger" in found.reason
