"""Who imports whom inside a package, counting every kind of import, and the cycles in it.

``python -m tests.architecture.imports`` prints what is found in ours. Imports at the top, inside
functions and under ``TYPE_CHECKING`` all count: the last two only hide a cycle.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.architecture.source import PACKAGE, Module, modules_of

__all__ = ("Edge", "Knot", "edges_of", "knots_of", "names_of")


@dataclass(frozen=True, slots=True)
class Edge:
    """One import; ``kind`` is ``top``, ``lazy`` or ``type-only``."""

    importer: str
    imported: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} -> {self.imported} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Knot:
    """Modules that all reach each other: the shortest cycle among them, and every import inside."""

    modules: tuple[str, ...]
    cycle: tuple[Edge, ...]
    edges: tuple[Edge, ...]

    def __str__(self) -> str:
        lines = "\n".join(f"    {edge}" for edge in self.cycle)
        return f"{len(self.modules)} modules in a knot ({', '.join(self.modules)}); its shortest cycle:\n{lines}"


def names_of(module: Module) -> Iterator[tuple[str, int, str]]:
    """Yield (dotted name, line, kind) for everything a module imports, ours or not.

    ``from a import b`` yields ``a.b``: whether that is a module or a name in one is not in the text.
    """
    yield from _names(module, module.tree.body, "top")


def _names(module: Module, body: Iterable[ast.AST], kind: str) -> Iterator[tuple[str, int, str]]:
    for node in body:
        match node:
            case ast.Import():
                yield from ((alias.name, node.lineno, kind) for alias in node.names)
            case ast.ImportFrom():
                origin = _origin(module, node)
                yield from ((f"{origin}.{alias.name}", node.lineno, kind) for alias in node.names)
            case ast.If() if _is_type_checking(node.test):
                yield from _names(module, node.body, "type-only")
                yield from _names(module, node.orelse, kind)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _names(module, ast.iter_child_nodes(node), "lazy" if kind == "top" else kind)
            case _:
                yield from _names(module, ast.iter_child_nodes(node), kind)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - 1 if module.is_package else node.level
    parts = module.name.split(".")
    above = parts[: len(parts) - up]
    return ".".join([*above, *([node.module] if node.module else [])])


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def edges_of(modules: Iterable[Module]) -> list[Edge]:
    """Return the imports among these modules; a name that is no module leads to the one that holds it."""
    modules = list(modules)
    known = {module.name for module in modules}
    found: dict[tuple[str, str], Edge] = {}
    for module in modules:
        for name, line, kind in names_of(module):
            target = name if name in known else name.rpartition(".")[0]
            if target in known:
                found.setdefault((module.name, target), Edge(module.name, target, line, kind))
    return list(found.values())


def knots_of(edges: Iterable[Edge]) -> list[Knot]:
    """Return every set of modules that import each other in a circle; none is the rule."""
    edges = list(edges)
    graph: dict[str, list[Edge]] = {}
    for edge in edges:
        graph.setdefault(edge.importer, []).append(edge)
        graph.setdefault(edge.imported, [])
    knots = []
    for members in _components(graph):
        inside = tuple(edge for edge in edges if edge.importer in members and edge.imported in members)
        if inside:
            knots.append(Knot(tuple(sorted(members)), _shortest_cycle(inside), inside))
    return knots


def _components(graph: Mapping[str, list[Edge]]) -> list[set[str]]:
    """Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    waiting: set[str] = set()
    components: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        waiting.add(node)
        for edge in graph[node]:
            if edge.imported not in index:
                visit(edge.imported)
                low[node] = min(low[node], low[edge.imported])
            elif edge.imported in waiting:
                low[node] = min(low[node], index[edge.imported])
        if low[node] == index[node]:
            component = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            waiting.difference_update(component)
            components.append(component)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return components


def _shortest_cycle(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    starts = sorted({edge.importer for edge in edges})
    return min((_way_round(start, edges) for start in starts), key=len)


def _way_round(start: str, edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """Return the shortest way from a module back to itself; in a knot there is one."""
    ways: deque[tuple[Edge, ...]] = deque((edge,) for edge in edges if edge.importer == start)
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        end = way[-1].imported
        if end == start:
            return way
        if end not in seen:
            seen.add(end)
            ways.extend((*way, edge) for edge in edges if edge.importer == end)
    raise AssertionError(f"{start} is in no cycle")


def main() -> int:
    """Print every knot of the package with all its imports."""
    knots = knots_of(edges_of(modules_of(PACKAGE)))
    for knot in knots:
        print(knot)
        print("  every import inside:")
        print("\n".join(f"    {edge}" for edge in knot.edges))
    print(f"{len(knots)} knots")
    return 1 if knots else 0


if __name__ == "__main__":
    sys.exit(main())
