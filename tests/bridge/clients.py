"""A client without a network, for tests of what sends."""

from __future__ import annotations

from otel_workflow.bridge.answer import Answer

__all__ = ("Taker",)


class Taker:
    """A client whose peer takes everything at once; ``sizes`` are those of the requests."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def connect(self, deadline: float) -> bool:
        return True

    def send(self, body: bytes, *, deadline: float) -> Answer:
        self.sizes.append(len(body))
        return Answer("accepted")

    def interrupt(self) -> None:
        pass

    def before_fork(self) -> None:
        pass

    def close(self) -> None:
        pass
