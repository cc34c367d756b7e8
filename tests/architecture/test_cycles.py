"""No module reaches itself through its imports, whatever their kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.imports import Edge, edges_of, knots_of
from tests.architecture.source import PACKAGE, modules_of


def plant(root: Path, files: dict[str, str]) -> Path:
    package = root / "tree"
    for name, text in {"__init__.py": "", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def test_no_import_of_any_kind_closes_a_cycle() -> None:
    knots = knots_of(edges_of(modules_of(PACKAGE)))
    assert not knots, "\n".join(str(knot) for knot in knots)


def test_the_imports_of_the_package_are_seen() -> None:
    """A tool that sees nothing finds no cycle either."""
    ways = {(edge.importer, edge.imported) for edge in edges_of(modules_of(PACKAGE))}
    assert ("otel_workflow.journal.reader", "otel_workflow.journal.writer") in ways
    assert ("otel_workflow", "otel_workflow.runtime") in ways


@pytest.mark.parametrize(
    ("back", "kind"),
    [
        ("from tree import one", "top"),
        ("import tree.one", "top"),
        ("from . import one", "top"),
        ("from .one import name", "top"),
        ("from tree.one import name", "top"),
        ("def later():\n    from tree.one import name", "lazy"),
        ("class Late:\n    def later(self):\n        import tree.one", "lazy"),
        ("try:\n    import tree.one\nexcept ImportError:\n    pass", "top"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tree.one import name", "type-only"),
        ("import typing\nif typing.TYPE_CHECKING:\n    import tree.one", "type-only"),
    ],
)
def test_an_import_back_is_a_cycle_whatever_its_kind(tmp_path: Path, back: str, kind: str) -> None:
    package = plant(tmp_path, {"one.py": "import tree.two", "two.py": back})
    [knot] = knots_of(edges_of(modules_of(package)))
    assert ("tree.one", "tree.two") == knot.modules
    assert ["tree.one", "tree.two"] == [edge.importer for edge in knot.cycle]
    assert ["top", kind] == [edge.kind for edge in knot.cycle]


def test_a_long_cycle_is_printed_with_its_lines(tmp_path: Path) -> None:
    files = {
        "a.py": "from tree.b import x",
        "b.py": "'''words'''\n\nfrom tree.c import x",
        "c.py": "from tree import a",
        "outside.py": "import tree.a",
    }
    [knot] = knots_of(edges_of(modules_of(plant(tmp_path, files))))
    assert "tree.b:3 -> tree.c (top)" in str(knot)
    assert ("tree.a", "tree.b", "tree.c") == knot.modules


def test_a_package_that_its_own_module_imports_from_is_a_cycle(tmp_path: Path) -> None:
    files = {"room/__init__.py": "from tree.room.chair import Chair", "room/chair.py": "from tree.room import table"}
    [knot] = knots_of(edges_of(modules_of(plant(tmp_path, files))))
    assert ("tree.room", "tree.room.chair") == knot.modules


def test_a_neighbour_imported_through_its_package_is_no_cycle(tmp_path: Path) -> None:
    files = {
        "room/__init__.py": "from tree.room.chair import Chair",
        "room/chair.py": "from tree.room import table",
        "room/table.py": "",
    }
    edges = edges_of(modules_of(plant(tmp_path, files)))
    assert Edge("tree.room.chair", "tree.room.table", 1, "top") in edges
    assert [] == knots_of(edges)
