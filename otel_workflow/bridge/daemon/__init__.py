"""The bridge as a daemon: springs that bring facts, one writer that counts them, a page that shows them.

Springs are journal directories and OTLP itself. Whatever they bring goes through one thread
(``counting.py``), is committed, and only then answered or shown.
"""

from __future__ import annotations

__all__ = ()
