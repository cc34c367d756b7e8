"""The bridge's image, really built and run: it counts, is healthy, is nobody's root, and drains at the end."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError, DockerException
from docker.models.containers import Container
from requests.exceptions import RequestException

from otel_workflow.bridge.daemon.addresses import Address
from tests.bridge.daemon.making import health, numbers, post, run_span, runs, total, traces, until
from tests.cli.conftest import Cli
from tests.servers.docker_engine import join_engine
from tests.servers.jaeger_container import owned_by, remove_orphans
from tests.servers.plugin import refuse
from tests.servers.python_image import build_base, build_wheel
from tests.servers.unavailable import Unavailable

PROJECT = Path(__file__).parents[2]
RECIPE = PROJECT / "collectors" / "bridge"
USER = os.getuid() or 12345
TOKEN = "0123456789abcdef-of-the-test"
OPEN_RUN = """
import sys
import otel_workflow as ow

ow.configure()
with ow.workflow("nightly"), ow.phase("compile"):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def engine(pytestconfig: pytest.Config) -> Iterator[docker.DockerClient]:
    try:
        joined = join_engine()
    except Unavailable as reason:
        refuse(pytestconfig, "docker", str(reason))
    remove_orphans(joined.client)
    yield joined.client
    joined.leave()


@pytest.fixture(scope="module")
def image(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The recipe, built as its README says, on a base that has our wheel where its pip looks."""
    with ExitStack() as undo:
        try:
            base = build_base(engine, build_wheel(PROJECT, tmp_path_factory.mktemp("wheel")))
        except (Unavailable, DockerException, RequestException) as reason:
            refuse(pytestconfig, "base image", str(reason))
        undo.callback(_removed, engine, base)
        name = "otel-workflow-tests/bridge:" + base.rpartition(":")[2]
        try:
            engine.images.build(path=str(RECIPE), tag=name, rm=True, buildargs={"BASE": base, "UID": str(USER)})
        except BuildError as error:
            pytest.fail(f"{error}: " + "".join(str(line.get("stream", "")) for line in error.build_log)[-2000:])
        undo.callback(_removed, engine, name)
        yield name


def _removed(engine: docker.DockerClient, image: str) -> None:
    with suppress(APIError, RequestException):
        engine.images.remove(image)


@pytest.fixture
def ow(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def handed_over(path: Path) -> None:
    """Let the container's user own a file or directory, as on a machine where it was his from the beginning."""
    for each in (path, *path.rglob("*")):
        os.chown(each, USER, USER)


@contextmanager
def container(engine: docker.DockerClient, image: str, ow: Cli) -> Iterator[Container]:
    """The image with the journal mounted, taking OTLP as the recipe's own line suggests."""
    (ow.home / "token").write_text(TOKEN)
    handed_over(ow.home / "token")
    recipe = (RECIPE / "Dockerfile").read_text()
    suggested = re.search(r"^# To take OTLP from elsewhere, add: (.*)", recipe, re.MULTILINE)
    assert suggested
    made = engine.containers.create(
        image,
        command=[*engine.images.get(image).attrs["Config"]["Cmd"], *shlex.split(suggested[1])],
        environment={"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        # Looked at each second; what is looked at stands in the image.
        healthcheck={"test": [], "interval": 1_000_000_000, "timeout": 0, "retries": 0},
        ports={"9464/tcp": ("127.0.0.1", 0), "4318/tcp": ("127.0.0.1", 0)},
        volumes={
            str(ow.journal): {"bind": "/journal", "mode": "rw"},
            str(ow.home / "token"): {"bind": "/run/secrets/otel-workflow-token", "mode": "ro"},
        },
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        labels=owned_by(),
    )
    try:
        made.start()
        yield made
    finally:
        made.remove(force=True, v=True)


def place(made: Container, port: int) -> Address:
    made.reload()
    bound: Any = made.ports
    return Address("http", "127.0.0.1", int(bound[f"{port}/tcp"][0]["HostPort"]))


def state(made: Container) -> dict[str, Any]:
    made.reload()
    found: dict[str, Any] = made.attrs["State"]
    return found


def became_healthy(made: Container) -> None:
    def healthy() -> bool:
        now = state(made)
        assert "running" == now["Status"], made.logs().decode()
        return bool("healthy" == now["Health"]["Status"])

    until(healthy, 60.0)


def stopped(made: Container) -> int:
    made.stop(timeout=45)
    return int(state(made)["ExitCode"])


def test_the_image_counts_journal_and_otlp_is_healthy_not_root_and_drains_on_sigterm(
    engine: docker.DockerClient, image: str, ow: Cli
) -> None:
    ow.record()
    handed_over(ow.journal)
    with container(engine, image, ow) as made:
        became_healthy(made)
        until(lambda: runs(numbers(place(made, 9464))) == 1)
        otlp = place(made, 4318)
        assert 401 == post(otlp, traces(run_span(7)))[0]
        assert 200 == post(otlp, traces(run_span(7)), Authorization=f"Bearer {TOKEN}")[0]
        assert 2 == runs(numbers(place(made, 9464)))
        status = Path("/proc", str(state(made)["Pid"]), "status")
        if status.exists():  # the engine may run on another machine
            ids = dict(line.split(":", 1) for line in status.read_text().splitlines())
            assert [[str(USER)] * 4] * 2 == [ids["Uid"].split(), ids["Gid"].split()]
        assert 0 == stopped(made), made.logs().decode()
        assert b"otel-workflow bridge is ready: reads /journal; listens at" in made.logs()

        made.start()  # what it has counted is in its volume
        became_healthy(made)
        assert 2 == runs(numbers(place(made, 9464)))
        assert True is health(place(made, 9464))["ok"]
        assert 0 == stopped(made)


def test_a_run_outside_the_container_is_open_until_its_process_is_killed(
    engine: docker.DockerClient, image: str, ow: Cli
) -> None:
    """Its lock is seen through the mount, though its number means nothing in the container."""
    child = subprocess.Popen(
        [sys.executable, "-c", OPEN_RUN],
        cwd=ow.home,
        env=ow.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert "open\n" == child.stdout.readline()
        handed_over(ow.journal)
        with container(engine, image, ow) as made:
            became_healthy(made)
            until(lambda: total(numbers(place(made, 9464)), "cicd_pipeline_run_active") == 1)
            assert 0 == runs(numbers(place(made, 9464)))
            child.send_signal(signal.SIGKILL)
            child.wait()
            until(lambda: runs(numbers(place(made, 9464)), "error") == 1, 30.0)
            assert 0 == stopped(made)
    finally:
        child.kill()
        child.communicate()
