"""How outcomes look: a mark and a colour each, and what a terminal or a pipe can show of them.

Colour is a last pass over text that is complete without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from otel_workflow.events import Outcome

__all__ = ("PLAIN", "Style")

_MARKS: Mapping[Outcome | None, tuple[str, str]] = {
    Outcome.SUCCESS: ("✔", "+"),
    Outcome.FAILURE: ("✖", "x"),
    Outcome.ERROR: ("⚠", "!"),
    Outcome.TIMEOUT: ("⏱", "t"),
    Outcome.CANCELLATION: ("■", "/"),
    Outcome.SKIP: ("⊘", "-"),
    None: ("●", ">"),
}
_COLOURS: Mapping[Outcome | None, str] = {
    Outcome.SUCCESS: "32",
    Outcome.FAILURE: "31",
    Outcome.ERROR: "35",
    Outcome.TIMEOUT: "33",
    Outcome.CANCELLATION: "33",
    Outcome.SKIP: "2",
    None: "36",
}
_LINES = {True: ("├─ ", "└─ ", "│  ", "   ", "│ "), False: ("|- ", "`- ", "|  ", "   ", "| ")}
_BARS = {True: ("━", "╸", "╺"), False: ("=", "-", "-")}
_NEEDED = "".join(mark for mark, _ in _MARKS.values()) + "├└│─━╸╺…"


@dataclass(frozen=True, slots=True)
class Style:
    """What the reader's screen can show. ``unicode`` off gives ASCII marks and lines."""

    colour: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Style:
        """Return what suits a stream: NO_COLOR, then FORCE_COLOR, TERM=dumb, terminal or not."""
        return cls(_wants_colour(stream, environ), _carries_marks(stream, environ))

    def mark(self, outcome: Outcome | None) -> str:
        """Return the one-column mark of an outcome; None is running."""
        return _MARKS[outcome][0 if self.unicode else 1]

    def paint(self, outcome: Outcome | None, text: str) -> str:
        """Return the text in the outcome's colour."""
        return self._in(_COLOURS[outcome], text)

    def bold(self, text: str) -> str:
        """Return the text in bold."""
        return self._in("1", text)

    def dim(self, text: str) -> str:
        """Return the text so that it stands back."""
        return self._in("2", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text.strip() else text

    @property
    def ellipsis(self) -> str:
        """What stands where something was left out."""
        return "…" if self.unicode else "..."

    @property
    def lines(self) -> tuple[str, str, str, str, str]:
        """A child, the last child, past a child, past the last child, past a phase's own text."""
        return _LINES[self.unicode]

    @property
    def bar(self) -> tuple[str, str, str]:
        """A whole cell of a bar, its left half, its right half."""
        return _BARS[self.unicode]


PLAIN = Style()
"""Unicode without colour: what a file gets."""


def _wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """https://no-color.org and its counterpart: set and not empty counts; FORCE_COLOR=0 is off."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] not in ("0", "false")
    return environ.get("TERM") != "dumb" and stream.isatty()


def _carries_marks(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True when the stream's encoding has the marks and the user's locale is not plain C.

    Python turns the C locale into UTF-8 (PEP 538 sets LC_CTYPE=C.UTF-8 by itself), so what the
    user asked for is told from LC_ALL, an LC_CTYPE of his own, and LANG, in that order.
    """
    own_type = environ.get("LC_CTYPE", "")
    asked = environ.get("LC_ALL") or (own_type if own_type != "C.UTF-8" else "") or environ.get("LANG", "")
    if asked in ("C", "POSIX"):
        return False
    try:
        _NEEDED.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
