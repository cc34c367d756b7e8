"""A public name or signature changes on purpose, and is seen in a review."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from difflib import unified_diff
from enum import Enum
from typing import Any, Self, overload

import pytest

from tests.architecture.public_surface import LISTING, render, render_module


def test_the_public_surface_equals_the_committed_listing() -> None:
    committed, now = LISTING.read_text(encoding="utf-8"), render()
    diff = "\n".join(unified_diff(committed.splitlines(), now.splitlines(), "committed", "now", lineterm=""))
    assert not diff, f"{diff}\n\nIf this is meant: python -m tests.architecture.public_surface --write"


class Shade(str, Enum):
    DARK = "dark"

    @property
    def deep(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Base:
    shade: Shade = Shade.DARK


@dataclass(frozen=True, slots=True)
class Leaf(Base):
    names: list[str] = field(default_factory=list)

    @classmethod
    def grow(cls, height: float = 0.5, /, *, calm: bool = True, **more: Any) -> Leaf:
        return cls()

    async def fall(self, *where: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def _hidden(self) -> None: ...


class Small(Leaf):
    def fits(self) -> bool:
        return True


@overload
def pick(leaf: Leaf, /) -> str: ...
@overload
def pick(leaf: str, *, sentinel: object = ...) -> str: ...
def pick(leaf: Any, *, sentinel: object = object()) -> str:
    return str(leaf)


@pytest.fixture
def garden(monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("garden")
    names = {"Leaf": Leaf, "Shade": Shade, "Small": Small, "YEARS": 3, "pick": pick}
    module.__dict__.update(names, __all__=tuple(names))
    monkeypatch.setitem(sys.modules, "garden", module)
    return "garden"


def test_every_name_member_and_signature_is_a_line(garden: str) -> None:
    assert [
        "garden",
        "class Leaf(Base): (shade: Shade = ..., names: list[str] = ...) -> None",
        "    def __enter__(self) -> Self",
        "    async def fall(self, *where: str) -> None",
        "    classmethod def grow(cls, height: float = 0.5, /, *, calm: bool = True, **more: Any) -> Leaf",
        "    names: list[str]",
        "    shade: Shade",
        "class Shade(str, Enum)",
        "    DARK = 'dark'",
        "    deep: bool  # read-only",
        "class Small(Leaf): (shade: Shade = ..., names: list[str] = ...) -> None",
        "    def fits(self) -> bool",
        "YEARS: int",
        "def pick(leaf: Leaf, /) -> str",
        "def pick(leaf: str, *, sentinel: object = Ellipsis) -> str",
    ] == list(render_module(garden))
