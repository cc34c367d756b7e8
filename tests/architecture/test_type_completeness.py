"""The verdict on pyright's report; the report itself is made by ``make check``, in seconds, not here."""

from __future__ import annotations

from typing import Any

from tests.architecture.public_surface import MODULES
from tests.architecture.source import PACKAGE, ROOT
from tests.architecture.type_completeness import incomplete, public_prefixes


def symbol(name: str, *, known: bool = True, ambiguous: bool = False) -> dict[str, Any]:
    where = {"file": str(ROOT / "a.py"), "range": {"start": {"line": 4}}, "message": "no\n\xa0 type"}
    return {
        "name": name,
        "category": "variable",
        "isTypeKnown": known,
        "isTypeAmbiguous": ambiguous,
        "diagnostics": [] if known else [where],
    }


def test_an_unknown_or_guessed_type_of_a_public_symbol_is_told() -> None:
    symbols = [
        symbol("tree.Leaf"),
        symbol("tree.Leaf.name", known=False),
        symbol("tree.Leaf.age", ambiguous=True),
        symbol("tree.Leaflet", known=False),
    ]
    assert incomplete({"typeCompleteness": {"symbols": symbols}}, {"tree.Leaf"}) == (
        3,
        ["a.py:5: variable tree.Leaf.name: no type", "tree.Leaf.age: a part of it is incomplete"],
    )


def test_public_names_are_found_where_they_are_defined() -> None:
    assert {"otel_workflow.Outcome", "otel_workflow.events.Outcome"} <= public_prefixes(MODULES)


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
