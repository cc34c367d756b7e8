"""Run Jaeger in a container, from the public image or from one built of our binary."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import docker
import docker.models.containers
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from tests.servers.jaeger import VERSION
from tests.servers.unavailable import Unavailable
from tests.servers.web import answers, until

FOLDER = Path(__file__).parents[2] / "collectors" / "jaeger"
PUBLIC_IMAGE = f"jaegertracing/jaeger:{VERSION}"

_PORTS = {"otlp_grpc": 4317, "otlp_http": 4318, "health": 13133, "query": 16686}
_OWNER = "otel-workflow.tests.owner"
# For silence, not for the download: each piece that arrives starts it anew.
_SECONDS_OF_SILENCE = 15
_SECONDS_TO_START = 30


def pull(client: docker.DockerClient) -> str:
    """Make sure that the public image is there; Unavailable if it cannot be had soon."""
    try:
        client.images.get(PUBLIC_IMAGE)
        return PUBLIC_IMAGE
    except ImageNotFound:
        pass
    impatient = docker.from_env(timeout=_SECONDS_OF_SILENCE)
    try:
        impatient.images.pull(PUBLIC_IMAGE)
    except (DockerException, RequestException) as refusal:
        raise Unavailable(f"{PUBLIC_IMAGE} cannot be pulled: {_short(refusal)}") from refusal
    finally:
        impatient.close()
    return PUBLIC_IMAGE


def build_image(client: docker.DockerClient, binary: Path) -> str:
    """Make an image of the static binary, named after all that is in it, and return that name."""
    files = {
        "Dockerfile": (FOLDER / "Dockerfile").read_bytes(),
        "config.yaml": (FOLDER / "config.yaml").read_bytes(),
        "jaeger": binary.read_bytes(),
    }
    content = hashlib.sha256(b"\0".join(files.values())).hexdigest()[:12]
    name = f"otel-workflow-tests/jaeger:{VERSION}-{content}"
    try:
        client.images.get(name)
    except ImageNotFound:
        client.images.build(fileobj=_tar(files), custom_context=True, tag=name, rm=True)
    return name


class Container:
    """Jaeger in a container; `ports` maps what it serves to ports of this host.

    It lives no longer than the process `owner`, this one by default: see `remove_orphans`.
    """

    def __init__(self, client: docker.DockerClient, image: str, owner: int | None = None) -> None:
        self._container = client.containers.create(
            image,
            command=["--config", "/etc/jaeger/config.yaml"],
            environment={"JAEGER_LISTEN_HOST": "0.0.0.0"},
            # 0 lets the engine choose a free port, so that no two runs ever collide.
            ports={f"{port}/tcp": ("127.0.0.1", 0) for port in _PORTS.values()},
            labels=owned_by(owner),
        )
        try:
            self.ports = self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> dict[str, int]:
        config = (FOLDER / "config.yaml").read_bytes()
        self._container.put_archive("/", _tar({"etc/jaeger/config.yaml": config}).getvalue())
        self._container.start()
        self._container.reload()
        bound: dict[str, Any] = self._container.ports
        ports = {name: int(bound[f"{port}/tcp"][0]["HostPort"]) for name, port in _PORTS.items()}
        if not until(lambda: answers(f"http://127.0.0.1:{ports['health']}/status"), _SECONDS_TO_START):
            said = self._container.logs(tail=5).decode(errors="replace")
            raise Unavailable(f"Jaeger in a container did not become healthy; it said:\n{said}")
        return ports

    def stop(self) -> None:
        """Remove the container, whatever state it is in."""
        _remove(self._container)


def owned_by(owner: int | None = None) -> dict[str, str]:
    """Labels of a container that lives no longer than a process, this one by default."""
    return {_OWNER: f"{socket.gethostname()}:{owner or os.getpid()}"}


def remove_orphans(client: docker.DockerClient) -> None:
    """Remove the containers of test runs on this host that were killed before they could."""
    # Two runs may sweep at once: what the other one took is no error here.
    all_of_ours = client.containers.list(all=True, filters={"label": _OWNER}, ignore_removed=True)
    for container in all_of_ours:
        host, _, pid = container.labels[_OWNER].rpartition(":")
        if host == socket.gethostname() and not Path(f"/proc/{pid}").exists():
            _remove(container)


def _remove(container: docker.models.containers.Container) -> None:
    try:
        container.remove(force=True, v=True)
    except (APIError, RequestException):
        # It is gone already, or so is its engine.
        return


def _tar(files: dict[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name == "jaeger" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


def _short(error: Exception) -> str:
    # The engine's own words, without the request they answered.
    said = getattr(error, "explanation", None) or error
    return " ".join(str(said).split())[:200]
