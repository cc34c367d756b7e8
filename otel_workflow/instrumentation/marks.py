"""What is noted on an open phase beyond its beginning; most phases never need any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_workflow.instrumentation.verdict import Verdict

__all__ = ("Marks",)


class Marks:
    """The mark set on a phase, the failures inner phases handed up, and how far it said to be.

    ``seen_exception`` is the ``id`` of the exception an inner phase has recorded. ``ending`` is the
    payload of the published event that ends it. ``progress_ns`` is when progress was last written,
    by the monotonic clock, and ``progress_held`` what came too soon after that.
    """

    __slots__ = ("ending", "handed", "progress_held", "progress_ns", "seen_exception", "verdict")

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self.handed: dict[str, Verdict] = {}
        self.seen_exception: int = 0
        self.ending: dict[str, Any] | None = None
        self.progress_ns: int | None = None
        self.progress_held: dict[str, Any] | None = None
