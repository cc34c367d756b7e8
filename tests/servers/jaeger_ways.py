"""Get a Jaeger in the first way that works here, and say which it was.

In this order: the endpoint in OW_TEST_JAEGER; a container of the public image; a
container of an image built from our own binary; that binary as a process; none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

from docker import DockerClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from tests.servers.build import Say, build, built, cached
from tests.servers.docker_engine import join_engine, running_client
from tests.servers.jaeger import Jaeger, NoJaeger
from tests.servers.jaeger_container import (
    FOLDER,
    Container,
    build_image,
    pull,
    remove_orphans,
)
from tests.servers.native import start_native
from tests.servers.unavailable import Unavailable
from tests.servers.web import answers

GIVEN = "OW_TEST_JAEGER"

# What a container is called afterwards, and what makes its image on a given engine.
Image = tuple[str, Callable[[DockerClient], str]]
PUBLIC: Image = ("container from a public image", pull)
BUILT: Image = ("container from a built image", lambda client: build_image(client, built("jaeger")))


def find_jaeger() -> Jaeger | NoJaeger:
    """A Jaeger that answers; `stop` it when done. Or the reasons why every way is closed."""
    if os.environ.get(GIVEN):
        # Whoever names one means that one: a slip in it must not end in another Jaeger.
        return given()
    reasons: list[str] = []
    for way in (in_container, as_process):
        try:
            found = way()
        except Unavailable as reason:
            reasons.append(str(reason))
        else:
            return replace(found, passed_over=(*reasons, *found.passed_over))
    return NoJaeger("; ".join(reasons))


def ensure(say: Say) -> str:
    """Make sure that `find_jaeger` will find one, at the least cost; return how.

    A machine that can pull the public image need not compile for minutes.
    """
    if os.environ.get(GIVEN):
        return f"{GIVEN} is given"
    if found := cached("jaeger"):
        return f"already built, {found}"
    client = running_client()
    if client is not None:
        try:
            return f"public image {pull(client)}"
        except Unavailable as reason:
            say(f"jaeger: {reason}")
        finally:
            client.close()
    return f"built, {build('jaeger', say)}"


def given() -> Jaeger | NoJaeger:
    """The Jaeger that OW_TEST_JAEGER names: OTLP/HTTP URL, query URL and perhaps OTLP/gRPC URL."""
    value = os.environ[GIVEN]
    endpoint, *others = (url.strip().rstrip("/") for url in value.split(","))
    if not others:
        return NoJaeger(
            f"{GIVEN}={value!r} names one URL; give the OTLP/HTTP and the query URL, "
            "for example http://localhost:4318,http://localhost:16686"
        )
    if not answers(f"{others[0]}/api/services"):
        return NoJaeger(f"nothing answers at {others[0]}/api/services, given in {GIVEN}")
    grpc = others[1] if len(others) > 1 else f"http://{urlsplit(endpoint).hostname}:4317"
    return Jaeger(endpoint, grpc, others[0], "endpoint given")


def in_container(images: Sequence[Image] = (PUBLIC, BUILT)) -> Jaeger:
    """Jaeger in a container of the first of `images` that can be had and started."""
    reasons: list[str] = []
    with ExitStack() as undo:
        engine = join_engine()
        undo.callback(engine.leave)
        remove_orphans(engine.client)
        for how, image_of in images:
            try:
                container = Container(engine.client, image_of(engine.client))
            except (Unavailable, DockerException, RequestException) as reason:
                reasons.append(f"{how}: {reason}")
                continue
            undo.callback(container.stop)
            return _jaeger(container.ports, how, tuple(reasons), undo.pop_all().close)
    raise Unavailable("; ".join(reasons))


def as_process() -> Jaeger:
    """The binary we built as a plain process."""
    binary = built("jaeger")
    ports = {
        "otlp_grpc": "JAEGER_OTLP_GRPC_PORT",
        "otlp_http": "JAEGER_OTLP_HTTP_PORT",
        "query": "JAEGER_QUERY_PORT",
    }
    server = start_native(
        [str(binary), "--config", str(FOLDER / "config.yaml")],
        ports=[*ports.values(), "JAEGER_QUERY_GRPC_PORT", "JAEGER_HEALTH_PORT"],
        env={"JAEGER_LISTEN_HOST": "127.0.0.1"},
        ready="http://127.0.0.1:{JAEGER_HEALTH_PORT}/status",
    )
    chosen = {name: server.ports[variable] for name, variable in ports.items()}
    return _jaeger(chosen, "native process", (), server.stop)


def _jaeger(ports: Mapping[str, int], how: str, passed_over: tuple[str, ...], stop: Callable[[], None]) -> Jaeger:
    def url(name: str) -> str:
        return f"http://127.0.0.1:{ports[name]}"

    return Jaeger(url("otlp_http"), url("otlp_grpc"), url("query"), how, passed_over, stop)
