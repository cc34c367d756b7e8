"""The engine that tests share: the last one to leave stops it, if tests started it.

A stand-in for dockerd keeps this apart from the engine that the session may use;
the real one is started by the session's own Jaeger.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import docker_engine
from tests.servers.docker_engine import join_engine
from tests.servers.unavailable import Unavailable

DOCKERD = "#!/bin/sh\nwhile :; do sleep 0.05; done\n"


class Client:
    """Stands for the client of an engine that answers."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine where we may start a dockerd that does nothing, and none runs."""
    dockerd = tmp_path / "bin" / "dockerd"
    dockerd.parent.mkdir()
    dockerd.write_text(DOCKERD)
    dockerd.chmod(0o755)
    monkeypatch.setenv("PATH", str(dockerd.parent), prepend=":")
    for name in ("_DOOR", "_USERS", "_PID", "_LOG"):
        monkeypatch.setattr(docker_engine, name, tmp_path / name)
    monkeypatch.setattr(docker_engine, "_not_ours_to_start", lambda: None)
    monkeypatch.setattr(docker_engine, "running_client", lambda: Client() if pid() else None)
    yield monkeypatch
    docker_engine._stop()


def pid() -> int | None:
    """The process id of the engine that tests started."""
    return docker_engine._our_pid()


@pytest.mark.usefixtures("machine")
def test_the_last_one_to_leave_stops_what_was_started() -> None:
    first = join_engine()
    started = pid()
    assert started is not None
    second = join_engine()
    assert pid() == started
    first.leave()
    assert pid() == started
    second.leave()
    assert pid() is None


def test_an_engine_of_somebody_else_is_left_running(machine: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    machine.setattr(docker_engine, "running_client", Client)
    machine.setattr(docker_engine, "_stop", lambda: stopped.append(True))
    engine = join_engine()
    assert pid() is None
    engine.leave()
    assert not stopped


def test_one_that_dies_at_once_is_no_engine(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin" / "dockerd").write_text("#!/bin/sh\necho no cgroups >&2\nexit 1\n")
    machine.setattr(docker_engine, "running_client", lambda: None)
    with pytest.raises(Unavailable, match=r"dockerd did not come up(.|\n)*no cgroups"):
        join_engine()


def test_where_none_may_be_started_the_reason_is_told(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(docker_engine, "_not_ours_to_start", lambda: "this is not our machine")
    with pytest.raises(Unavailable, match="no docker engine answers, and this is not our machine"):
        join_engine()
