"""What an ``OtlpReceiver`` is told to answer: a status, a word, or a ``Reply`` with all details.

::

    receiver.script(503, "hang", "partial:3")
    receiver.script(Reply(429, retry_after=3600), Reply(200, after=0.2), Reply.captive_portal())

The same script serves both protocols: an HTTP status is told over gRPC as the code the
specification pairs with it, and the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

__all__ = ("GRPC_CODES", "HTTP_OF", "Manner", "Reply", "reply_of")

Manner = Literal["answer", "hang", "reset", "drip", "bomb"]

PROTOBUF = "application/x-protobuf"
_WORDS = re.compile(r"hang|reset|drip|bomb|portal|redirect|partial:([0-9]{1,9})")

GRPC_CODES: Final = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}
"""The numbers of gRPC's status codes."""

HTTP_OF: Final = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 404,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status each gRPC code is paired with (google.rpc.Code); what is missing is 500."""

_GRPC_OF: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

    ``status`` is an HTTP status or the name of a gRPC code (``"UNAVAILABLE"``). ``after`` seconds
    pass before it is given. ``rejected`` is the partial success: the last so many items are not
    taken. ``retry_after`` is said as it stands: seconds, a date, or nonsense; gRPC can only say
    seconds (``RetryInfo``). ``headers`` are added, over gRPC as metadata. ``body`` None is what
    OTLP answers.

    ``manner``: "answer"; "hang" never answers; "reset" cuts the connection; "drip" sends ten bytes
    of an endless header a second; "bomb" answers 64 MiB that gzip makes small. gRPC has no
    bytes of its own to play with: there "drip" hangs, "reset" is UNAVAILABLE, and "bomb" is an
    answer of 8 MiB, twice what a client takes.

    ``takes`` says whether what was sent is kept. None is as a collector would: yes for a 2xx of
    OTLP's own type that is answered. True with "hang" or "reset" is the collector that stored
    everything and died before it could say so.

    Raises ValueError for a status that is none, and for a negative ``after`` or ``rejected``.
    """

    status: int | str = 200
    after: float = 0.0
    rejected: int = 0
    retry_after: float | str | None = None
    body: bytes | None = None
    content_type: str = PROTOBUF
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Manner = "answer"
    takes: bool | None = None

    def __post_init__(self) -> None:
        known = 200 <= self.status < 600 if isinstance(self.status, int) else self.status in GRPC_CODES
        if not known:
            raise ValueError(
                f"{self.status!r} is not an answer: give a status of 200 to 599, or a gRPC code such as UNAVAILABLE"
            )
        if not self.after >= 0 or self.rejected < 0:
            raise ValueError(f"after={self.after!r} and rejected={self.rejected!r}: give 0 or more")

    @classmethod
    def captive_portal(cls) -> Self:
        """Return the 200 of a hotel's login page, which is no OTLP at all."""
        return cls(body=b"<!doctype html><title>Welcome</title><p>Please log in.", content_type="text/html")

    @classmethod
    def redirect(cls, target: str = "http://127.0.0.1:9/login", status: int = 307) -> Self:
        """Return a redirect to somewhere else."""
        return cls(status, headers={"Location": target}, content_type="text/html", body=b"moved")

    @property
    def http_status(self) -> int:
        """The answer as an HTTP status."""
        return self.status if isinstance(self.status, int) else HTTP_OF.get(self.status, 500)

    @property
    def grpc_code(self) -> str:
        """The answer as the name of a gRPC code; UNKNOWN for a status that has none."""
        if isinstance(self.status, str):
            return self.status
        return "OK" if self.status < 300 else _GRPC_OF.get(self.status, "UNKNOWN")

    @property
    def keeps(self) -> bool:
        """Whether the receiver keeps what was sent with this request."""
        if self.takes is not None:
            return self.takes
        heard = self.manner not in ("hang", "reset")
        return heard and self.http_status < 300 and self.content_type == PROTOBUF


def reply_of(answer: int | str | Reply) -> Reply:
    """Return what a number or a word of a script stands for; ValueError for any other."""
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, int) or answer in GRPC_CODES:
        return Reply(answer)
    word = _WORDS.fullmatch(answer)
    if word is None:
        raise ValueError(
            f'{answer!r} is not an answer: give a status, a gRPC code, "hang", "reset", "drip", "bomb", "portal",'
            ' "redirect", "partial:N", or a Reply'
        )
    if answer == "portal":
        return Reply.captive_portal()
    if answer == "redirect":
        return Reply.redirect()
    if word[1]:
        return Reply(rejected=int(word[1]))
    manners: dict[str, Manner] = {"hang": "hang", "reset": "reset", "drip": "drip", "bomb": "bomb"}
    return Reply(manner=manners[answer])
