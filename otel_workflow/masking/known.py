"""Finds secrets whose values are known, at a cost that does not grow with their number.

Whatever is at least seven bytes long contains, wherever it stands in a text, one whole word of
four bytes at an offset divisible by four. So the text is read as such words, once, and looked up
in a set that holds four words of each form of each secret: one for each way it can be placed. Only
a hit makes anybody search for anything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from otel_workflow.masking.forms import SHORTEST_FORM, forms_of

__all__ = ("NOTHING", "KnownSecrets", "Spans")

Spans = list[tuple[int, int]]
"""Where secrets stand in a text: (first character, one past the last)."""
_MOST_CLEAN = 4096
_LONGEST_CLEAN = 128


class KnownSecrets:
    """A set of secrets as it is at one moment; with one more it is another object.

    ``clean`` remembers short ASCII texts in which nothing was found, and ``names`` names of
    attributes that are no secret's either: true for as long as the set is the same, and they repeat
    from phase to phase. ``reach`` is the length of the longest form in characters, ``values`` what
    the set was made of, ``words`` the forms by the words that tell of them, ``short`` what is too
    short for that.
    """

    __slots__ = ("clean", "names", "reach", "short", "starred", "values", "words")

    def __init__(self) -> None:
        self.values: tuple[str, ...] = ()
        self.words: dict[int, tuple[str, ...]] = {}
        self.short: tuple[str, ...] = ()
        self.starred = False
        self.reach = 0
        self.clean: set[str] = set()
        self.names: set[str] = set()

    def with_more(self, values: tuple[str, ...]) -> KnownSecrets:
        """Return the set for these values, the first of which are those of this one."""
        made = KnownSecrets()
        made.values, made.words, made.short = values, dict(self.words), self.short
        made.starred, made.reach = self.starred, self.reach
        for value in values[len(self.values) :]:
            for form in forms_of(value):
                made._add(form)
        return made

    def _add(self, form: str) -> None:
        self.reach = max(self.reach, len(form))
        self.starred = self.starred or "*" in form
        raw = form.encode("utf-8", "surrogatepass")
        if len(raw) < SHORTEST_FORM:
            if form not in self.short:
                self.short = (*self.short, form)
            return
        for offset in range(4):
            word = int.from_bytes(raw[offset : offset + 4], sys.byteorder)
            sharing = self.words.get(word, ())
            if form not in sharing:
                self.words[word] = (*sharing, form)

    def remember(self, text: str) -> None:
        """Keep a text in which nothing was found."""
        if len(text) <= _LONGEST_CLEAN and text.isascii():
            if len(self.clean) >= _MOST_CLEAN:
                self.clean.clear()
            self.clean.add(text)

    def remember_name(self, name: str) -> None:
        """Keep an attribute's name that contains no secret and is no secret's."""
        if len(self.names) >= _MOST_CLEAN:
            self.names.clear()
        self.names.add(name)

    def find(self, text: str) -> Spans:
        """Return where secrets stand, overlapping ones too, in no order."""
        found: Spans = []
        for form in self.short:
            if form in text:
                _add_all(found, form, text)
        if self.words and len(text) >= 2:
            for form in self._suspects(text):
                _add_all(found, form, text)
        return found

    def _suspects(self, text: str) -> Iterable[str]:
        raw = text.encode("utf-8", "surrogatepass")
        words = memoryview(raw)[: len(raw) & ~3].cast("I")
        if self.words.keys().isdisjoint(words):
            return ()
        return {form for word in words if word in self.words for form in self.words[word]}

    def is_whole(self, masked: str) -> bool:
        """Tell whether a text that was masked needs no second look.

        Only a secret that itself contains a star can arise from what was put in a secret's place.
        """
        return not self.starred or not self.find(masked)


def _add_all(found: Spans, form: str, text: str) -> None:
    at, size = text.find(form), len(form)
    while at >= 0:
        found.append((at, at + size))
        at = text.find(form, at + 1)


NOTHING = KnownSecrets()
"""The set without a secret in it."""
