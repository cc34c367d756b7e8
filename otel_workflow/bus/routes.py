"""Which subscriptions an event goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ("CACHE_LIMIT", "Routes", "matcher")

CACHE_LIMIT = 4096
"""Event types remembered; beyond it (somebody puts ids into types) the cache starts anew."""

T = TypeVar("T")


def matcher(pattern: str | None) -> Callable[[str], bool]:
    """Return the test of a pattern: exact, ``hooks.*``, ``*.failed``, or None (and ``*``) for all.

    A star stands for any number of segments and only at an end; elsewhere it is a plain character.
    """
    if pattern is None or pattern == "*":
        return lambda _: True
    if pattern.endswith(".*") and pattern.startswith("*."):
        return lambda event_type: pattern[1:-1] in event_type
    if pattern.endswith(".*"):
        return lambda event_type: event_type.startswith(pattern[:-1])
    if pattern.startswith("*."):
        return lambda event_type: event_type.endswith(pattern[1:])
    return lambda event_type: event_type == pattern


class Routes(Generic[T]):
    """The subscriptions of each event type, worked out at the first event of that type.

    A ``Routes`` never changes its mind: every (un)subscription makes a new one, so a publisher
    in another thread or in a signal handler reads either the old or the new, never a mixture.
    ``known`` are the types seen so far: a plain dict, since a subclass of it is twice as slow to look into.
    """

    __slots__ = ("_table", "known")

    def __init__(self, table: tuple[tuple[Callable[[str], bool], T], ...] = ()) -> None:
        self._table = table
        self.known: dict[str, tuple[T, ...]] = {}

    def __getitem__(self, event_type: str) -> tuple[T, ...]:
        known = self.known
        try:
            return known[event_type]
        except KeyError:
            found = tuple(target for matches, target in self._table if matches(event_type))
        if len(known) >= CACHE_LIMIT:
            known.clear()
        known[event_type] = found
        return found

    def __len__(self) -> int:
        return len(self.known)
