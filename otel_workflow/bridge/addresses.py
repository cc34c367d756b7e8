"""Looks a host's addresses up within a deadline, and so that another thread can call it off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ("Addresses", "Resolver", "left_until")

Addresses = Sequence[tuple[Any, ...]]
"""As ``socket.getaddrinfo`` returns them."""


class Resolver:
    """Asks the system's resolver, which knows no deadline and may take 10 s, in a thread of its own.

    Remembers the last answer: it serves when no thread can be started, or none comes in time.
    """

    def __init__(self) -> None:
        self._known: Addresses = ()
        self._asked: SimpleQueue[Addresses | OSError] | None = None

    def look_up(self, host: str, port: int, deadline: float) -> Addresses:
        """Return the addresses of a host; raises OSError when it has none, or none in time."""
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            found: SimpleQueue[Addresses | OSError] = SimpleQueue()

        def ask() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except OSError as error:
                found.put(error)

        self._asked = found
        try:
            threading.Thread(target=ask, name="otel-workflow-resolver", daemon=True).start()
            answer = found.get(timeout=left_until(deadline))
        except (RuntimeError, Empty):  # no thread can be started while the interpreter ends; or no answer
            answer = self._known or TimeoutError("the name was not resolved in time")
        finally:
            self._asked = None
        if isinstance(answer, OSError):
            raise answer
        self._known = answer
        return answer

    def interrupt(self) -> None:
        """Let a look-up that another thread waits for fail now."""
        asked = self._asked
        if asked is not None:
            asked.put(InterruptedError("interrupted"))


def left_until(deadline: float) -> float:
    """Return the seconds left until a deadline (``time.monotonic``); raises TimeoutError when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return min(left, 86400.0)  # a socket takes no infinity
