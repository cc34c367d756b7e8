"""The rules that can be read off the text: each function returns the lines that break one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from tests.architecture.source import Module

__all__ = (
    "RULES",
    "broad_excepts",
    "files_named_like",
    "globals_declared",
    "long_functions",
    "long_modules",
    "missing_docstrings",
    "missing_exports",
    "unfinished_work",
)

MAX_MODULE = 600
MAX_FUNCTION = 80
GUARDS = ("otel_workflow.guard", "otel_workflow.bus.guard")
BROAD = {"Exception", "BaseException"}
MARKS = re.compile(r"\b(?:TODO|FIXME|XXX)\b")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def long_modules(module: Module) -> Iterator[str]:
    """A module that does not fit in one head."""
    lines = len(module.text.splitlines())
    if lines > MAX_MODULE:
        yield f"{module.place}:1: {lines} lines, more than {MAX_MODULE}"


def long_functions(module: Module) -> Iterator[str]:
    """A function that does not fit on a screen or two, from ``def`` to its last line."""
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield module.at(node, f"{node.name} has {lines} lines, more than {MAX_FUNCTION}")


def broad_excepts(module: Module) -> Iterator[str]:
    """A handler that swallows what nobody thought of, outside the two guards."""
    if module.name in GUARDS:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _is_broad(node.type)):
            yield module.at(node, f"`except{f' {ast.unparse(node.type)}' if node.type else ''}` outside the guards")
        elif isinstance(node, ast.Call) and _last_name(node.func) == "suppress" and any(map(_is_broad, node.args)):
            yield module.at(node, f"`{ast.unparse(node)}` outside the guards")


def _is_broad(kind: ast.expr) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(_last_name(each) in BROAD for each in kinds)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def globals_declared(module: Module) -> Iterator[str]:
    """A ``global`` statement: state belongs to an object."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield module.at(node, ast.unparse(node))


def unfinished_work(module: Module) -> Iterator[str]:
    """A mark left for later."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if MARKS.search(line):
            yield f"{module.place}:{number}: {line.strip()}"


def missing_docstrings(module: Module) -> Iterator[str]:
    """A public module, class, function or method whose docstring's first line is no sentence."""
    if said := _not_a_sentence(module.tree):
        yield f"{module.place}:1: the module {said}"
    for path, node in _public(module.tree.body, ""):
        if said := _not_a_sentence(node):
            yield module.at(node, f"{path} {said}")


def _public(body: Iterable[ast.stmt], above: str) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not _needs_no_words(node):
            path = f"{above}{node.name}"
            yield path, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{path}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from _public([*node.body, *node.orelse], above)


def _needs_no_words(node: Definition) -> bool:
    """True for the signatures of an overload, and for setters, whose property has them."""
    return any(_last_name(decorator) in {"overload", "setter", "deleter"} for decorator in node.decorator_list)


def _not_a_sentence(node: ast.Module | Definition) -> str:
    text = ast.get_docstring(node)
    if not text:
        return "has no docstring"
    first = text.splitlines()[0]
    return "" if first.endswith(".") else f"begins with a line without a full stop: {first!r}"


def missing_exports(module: Module) -> Iterator[str]:
    """A module without an ``__all__`` that is one literal tuple or list of names, each once."""
    if module.name.endswith("__main__"):
        return
    found = [node for node in module.tree.body if _assigns_all(node)]
    if len(found) != 1:
        yield f"{module.place}:1: __all__ is assigned {len(found)} times, not once"
        return
    value = found[0].value if isinstance(found[0], ast.Assign | ast.AnnAssign) else None
    names = value.elts if isinstance(value, ast.Tuple | ast.List) else None
    if names is None or not all(isinstance(name, ast.Constant) and isinstance(name.value, str) for name in names):
        yield module.at(found[0], "__all__ is no literal tuple or list of names")
    elif len({ast.unparse(name) for name in names}) != len(names):
        yield module.at(found[0], "__all__ says a name twice")


def _assigns_all(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(_last_name(target) == "__all__" for target in targets)


def files_named_like(names: Collection[str], modules: Iterable[Module]) -> Iterator[str]:
    """A file or folder that would take a public function's place: importing it sets that attribute."""
    for module in modules:
        if module.name.rpartition(".")[2] in names and "." in module.name:
            yield f"{module.place}:1: named like the public function {module.name.rpartition('.')[2]}"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    broad_excepts,
    globals_declared,
    long_functions,
    long_modules,
    missing_docstrings,
    missing_exports,
    unfinished_work,
)
"""The rules that hold for every module by itself."""
