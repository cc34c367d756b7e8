"""Run a server as a plain process on free ports, and end it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.servers.unavailable import Unavailable
from tests.servers.web import answers, until

_SECONDS_TO_START = 30
_SECONDS_TO_STOP = 10
_TRIES = 3


class NativeServer:
    """A running server process, its ports by name and its folder.

    `folder` is its working directory, thrown away with it; `log` is in it.
    """

    def __init__(self, argv: Sequence[str], ports: Mapping[str, int], env: Mapping[str, str]) -> None:
        self.ports = dict(ports)
        self._folder = tempfile.TemporaryDirectory(prefix="ow-server-")
        self.folder = Path(self._folder.name)
        self.log = self.folder / "log"
        environment = {**os.environ, **env, **{name: str(p) for name, p in ports.items()}}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *argv], cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    def has_ended(self) -> bool:
        """True once the process is gone."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """The end of its log, for an error."""
        return self.log.read_text(errors="replace")[-600:]

    def stop(self) -> None:
        """End the process, by force if it will not, and remove its folder."""
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def start_native(
    argv: Sequence[str], *, ports: Sequence[str], ready: str, env: Mapping[str, str] | None = None
) -> NativeServer:
    """Start `argv` on free ports and return once `ready` answers 200.

    Each name in `ports` gets a free port. It is handed over as an environment
    variable, and `{NAME}` in `argv` and `ready` is replaced by it. Another
    process may take such a port before the server does, so that is tried again.
    """
    for attempt in range(1, _TRIES + 1):
        chosen = free_ports(ports)
        server = NativeServer([word.format_map(chosen) for word in argv], chosen, env or {})
        page = ready.format_map(chosen)
        if _comes_up(server, page):
            return server
        said = server.last_words()
        server.stop()
        if attempt == _TRIES or "address already in use" not in said:
            break
    raise Unavailable(f"{argv[0]} did not answer at {page}; the end of its log:\n{said}")


def _comes_up(server: NativeServer, page: str) -> bool:
    try:
        until(lambda: server.has_ended() or answers(page), _SECONDS_TO_START)
        # One that ended may have left its port to a stranger, who must not answer for it.
        return not server.has_ended() and answers(page)
    except BaseException:
        server.stop()
        raise


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Find a free loopback port for each name, all different."""
    with ExitStack() as open_sockets:
        found = {}
        for name in names:
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found[name] = listener.getsockname()[1]
        return found


def _dying_with_us() -> list[str]:
    # A test run that is killed cannot clean up; Linux can do it for us.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
