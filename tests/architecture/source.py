"""The package as text: its modules, read and parsed, none of them imported."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ("PACKAGE", "ROOT", "Module", "modules_of", "pyproject")

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "otel_workflow"


@dataclass(frozen=True, slots=True)
class Module:
    """One file of a package."""

    name: str
    path: Path
    place: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """True for the ``__init__`` of a folder."""
        return self.path.stem == "__init__"

    def at(self, node: ast.expr | ast.stmt | ast.excepthandler, said: str) -> str:
        """Return a line such as ``otel_workflow/bus/guard.py:31: said``."""
        return f"{self.place}:{node.lineno}: {said}"


def modules_of(package: Path) -> list[Module]:
    """Return all modules of a package, sorted by name."""
    return sorted((_module(path, package.parent) for path in package.rglob("*.py")), key=lambda module: module.name)


def _module(path: Path, above: Path) -> Module:
    place = path.relative_to(above)
    parts = place.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Module(name, path, str(place), text, ast.parse(text, filename=str(path)))


def pyproject() -> dict[str, Any]:
    """Return the project's own description of itself."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
