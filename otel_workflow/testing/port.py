"""A port of this machine that is listened at, left, and listened at again.

While nobody listens, the port stays bound, so that connections are refused and neither another
program nor a connection's own end is given the same number: an outage stays an outage.
"""

from __future__ import annotations

import contextlib
import socket

__all__ = ("HeldPort",)

HOST = "127.0.0.1"


class HeldPort:
    """A port number that is kept over times in which nobody listens; ``number`` 0 takes any free one."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._hold: socket.socket | None = None

    def listen(self) -> socket.socket:
        """Return a listening socket; OSError when another program has the port."""
        self.release()
        listener = self._bound()
        listener.listen(128)
        self.number = listener.getsockname()[1]
        return listener

    def hold(self) -> None:
        """Keep the port while nobody listens, where the system allows that."""
        self.release()
        with contextlib.suppress(OSError):
            self._hold = self._bound()
            self.number = self._hold.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.close()

    def _bound(self) -> socket.socket:
        made = socket.socket()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((HOST, self.number))
        except OSError:
            made.close()
            raise
        return made
