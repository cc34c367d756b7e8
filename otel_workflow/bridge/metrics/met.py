"""Which of a million names were met before, in eight megabytes: a Bloom filter of two generations."""

from __future__ import annotations

import struct
from hashlib import blake2b

__all__ = ("Met",)

_BITS = 1 << 25
_CAPACITY = 1_000_000  # of one generation; about one new name in 6,000 is then taken for a known one
_four = struct.Struct("<4I").unpack


class Met:
    """Remembers at least the last million names; takes no memory before the first."""

    def __init__(self) -> None:
        self._young = bytearray()
        self._old = bytearray()
        self._count = 0

    def again(self, name: tuple[str, str]) -> bool:
        """True if the name was met before (or, seldom, looks as if it was); it is remembered now."""
        if not self._young or self._count >= _CAPACITY:
            self._old, self._young, self._count = self._young, bytearray(_BITS // 8), 0
        joined = "\0".join(name).encode(errors="backslashreplace")
        places = [number % _BITS for number in _four(blake2b(joined, digest_size=16).digest())]
        if all(self._young[place >> 3] & 1 << (place & 7) for place in places):
            return True
        for place in places:
            self._young[place >> 3] |= 1 << (place & 7)
        self._count += 1
        return bool(self._old) and all(self._old[place >> 3] & 1 << (place & 7) for place in places)
