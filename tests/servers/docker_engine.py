"""Find a docker engine, or start one when this machine lets us, and stop what was started.

Several test runs may share an engine one of them started. So each holds a shared
lock while it uses it, and the last one to leave turns off the light.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import IO

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from tests.servers.file_lock import held
from tests.servers.unavailable import Unavailable
from tests.servers.web import until

# Only root starts an engine, so a folder of root's that every run finds does.
_FOLDER = Path("/run/otel-workflow-tests")
_DOOR = _FOLDER / "door.lock"
_USERS = _FOLDER / "users.lock"
_PID = _FOLDER / "dockerd.pid"
_LOG = _FOLDER / "dockerd.log"

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30


class Engine:
    """A docker engine in use; `leave` when done."""

    def __init__(self, client: docker.DockerClient, users: IO[str] | None) -> None:
        self.client = client
        self._users = users

    @property
    def is_ours(self) -> bool:
        """True when a test run started it, this one or another."""
        return self._users is not None

    def leave(self) -> None:
        """Stop using the engine, and stop it if test runs started it and none is left."""
        self.client.close()
        if self._users is None:
            return
        with held(_DOOR):
            self._users.close()
            if _nobody_uses_it():
                _stop()


def running_client() -> docker.DockerClient | None:
    """A client of the engine that runs already, or None."""
    client = None
    # The docker package leaves the socket of a refused connection to the garbage collector,
    # whose warning would fail a test that has nothing to do with it.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            client = docker.from_env(timeout=60)
            client.ping()
            return client
        except (DockerException, RequestException):
            if client is not None:
                client.close()
        client = None
        gc.collect()
    return None


def join_engine() -> Engine:
    """Use the engine that runs, else start one; Unavailable says why there is none."""
    obstacle = _not_ours_to_start()
    if obstacle is not None:
        client = running_client()
        if client is None:
            raise Unavailable(f"no docker engine answers, and {obstacle}")
        return Engine(client, None)
    with held(_DOOR):
        client = running_client() or _start()
        return Engine(client, _share() if _our_pid() is not None else None)


def describe() -> str:
    """One phrase on the engine of this machine."""
    client = running_client()
    if client is None:
        if shutil.which("dockerd") is None:
            return "no engine answers, and there is no dockerd to start"
        obstacle = _not_ours_to_start()
        return f"no engine answers, and {obstacle or 'the tests will start dockerd'}"
    try:
        return f"engine {client.version()['Version']} answers"
    finally:
        client.close()


def _not_ours_to_start() -> str | None:
    if os.environ.get("DOCKER_HOST"):
        return "DOCKER_HOST names another one, so none is started here"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can start dockerd"
    return None


def _share() -> IO[str]:
    users = _USERS.open("a")
    fcntl.flock(users, fcntl.LOCK_SH)
    # A forked child would keep the lock, and with it the engine, for as long as it lives.
    os.register_at_fork(after_in_child=users.close)
    return users


def _start() -> docker.DockerClient:
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise Unavailable("no docker engine answers, and there is no dockerd to start")
    with _LOG.open("wb") as log:
        # Its own session: a Ctrl-C meant for the tests must not end it under other users.
        # No Popen: that one complains when it goes before its child, as it does here
        # whenever another test run still uses the engine.
        pid = os.posix_spawn(
            dockerd,
            ["dockerd"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), fd) for fd in (1, 2)],
            setsid=True,
        )
    _PID.write_text(str(pid))
    found: list[docker.DockerClient] = []

    def answered_or_ended() -> bool:
        client = running_client()
        if client is not None:
            found.append(client)
        return bool(found) or _our_pid() is None

    until(answered_or_ended, _SECONDS_TO_START, pause=0.2)
    if not found:
        _stop()
        _reap(pid)
        said = _LOG.read_text(errors="replace")[-400:]
        raise Unavailable(f"dockerd did not come up; the end of {_LOG}:\n{said}")
    return found[0]


def _stop() -> None:
    pid = _our_pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not until(lambda: _our_pid() is None, _SECONDS_TO_STOP, pause=0.1):
            os.kill(pid, signal.SIGKILL)
        _reap(pid)
    _PID.unlink(missing_ok=True)


def _our_pid() -> int | None:
    """The process id of the engine that a test run started, if it is still alive."""
    try:
        pid = int(_PID.read_text())
        status = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # A process id is used again one day, and a dead child stays as a zombie until reaped.
    return pid if "(dockerd)" in status and ") Z " not in status else None


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        # It was reaped before, or another run is its parent.
        return


def _nobody_uses_it() -> bool:
    with _USERS.open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
