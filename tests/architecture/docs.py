"""What the documentation points at: links between its pages, and files it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ("broken_links", "missing_files", "pages_of")

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_FILE = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.py|(?:[\w.-]+/)+")
_DOTTED = re.compile(r"otel_workflow(?:\.\w+)+")


def pages_of(root: Path) -> list[Path]:
    """Return the pages of a project: those at its top, and all under docs."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def broken_links(root: Path) -> Iterator[str]:
    """Yield every relative link that leads nowhere."""
    for page in pages_of(root):
        text = _SPAN.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
        for target in _LINK.findall(text):
            path = target.partition("#")[0]
            if path and "://" not in target and not target.startswith("mailto:") and not (page.parent / path).exists():
                yield f"{page.relative_to(root)}: {target}"


def missing_files(root: Path, page: Path) -> Iterator[str]:
    """Yield every module that a page names in backquotes and that does not exist.

    A path may begin at the project or at the package; a bare file name may be anywhere in it.
    """
    if not page.exists():
        return
    package = root / "otel_workflow"
    for named in _SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if _DOTTED.fullmatch(named):
            found = _dotted_exists(root, named)
        elif _FILE.fullmatch(named):
            found = (root / named).exists() or (package / named).exists()
            found = found or ("/" not in named and any(package.rglob(named)))
        else:
            continue
        if not found:
            yield f"{page.relative_to(root)}: `{named}`"


def _dotted_exists(root: Path, named: str) -> bool:
    """Follow a dotted name to a module, and look for what is left of it in that module's text."""
    path, rest = root, named.split(".")
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    if rest and (path / f"{rest[0]}.py").is_file():
        path /= f"{rest.pop(0)}.py"
    else:
        path /= "__init__.py"
    return path.is_file() and (not rest or re.search(rf"\b{rest[0]}\b", path.read_text(encoding="utf-8")) is not None)
