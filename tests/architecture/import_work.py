"""What a module would do while it is imported, read off its text.

Outside functions there may be imports, definitions, and constants made by calls that are known to
do nothing else. The table of those is here, so that an addition to it is seen in a review.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.architecture.source import Module

__all__ = ("work_at_import",)

_BUILTIN = frozenset(
    {
        *("abs", "all", "any", "bool", "bytes", "chr", "dict", "divmod", "enumerate", "float", "frozenset", "getattr"),
        *("hasattr", "int", "isinstance", "len", "list", "max", "min", "next", "object", "ord", "property", "range"),
        *("repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip"),
    }
)
_METHODS = frozenset(
    {"encode", "format", "index", "items", "join", "keys", "lower", "split", "splitlines", "union", "upper", "values"}
)
"""Methods of text and collections: of constants, since nothing else is there to be asked."""
_PURE = frozenset(
    {
        "collections.namedtuple",
        "contextlib.contextmanager",
        "contextlib.asynccontextmanager",
        "contextvars.ContextVar",
        "dataclasses.dataclass",
        "dataclasses.field",
        "functools.cache",
        "functools.cached_property",
        "functools.lru_cache",
        "functools.partial",
        "functools.total_ordering",
        "functools.wraps",
        "json.JSONDecoder",
        "json.JSONEncoder",
        "logging.getLogger",
        "operator.attrgetter",
        "operator.itemgetter",
        "re.compile",
        "struct.Struct",
        "threading.Lock",
        "threading.RLock",
        "threading.local",
        "types.MappingProxyType",
        "typing.NewType",
        "typing.ParamSpec",
        "typing.TypeVar",
        "weakref.WeakKeyDictionary",
        "weakref.WeakSet",
        "weakref.WeakValueDictionary",
        # OpenTelemetry's API: values and a key.
        "opentelemetry.context.Context",
        "opentelemetry.context.create_key",
        "opentelemetry.trace.TraceFlags",
        "opentelemetry.trace.TraceState",
        # It is the API's own contextmanager for sync and async.
        "opentelemetry.util._decorator._agnosticcontextmanager",
        # The command line's table of verbs.
        "typer.Argument",
        "typer.Option",
        "typer.Typer",
        # Ours: makes a parser for a row of the table of settings.
        "otel_workflow.settings._one_of",
    }
)
_MARKS = frozenset({"abstractmethod", "classmethod", "final", "overload", "runtime_checkable", "staticmethod"})
_REGISTER = frozenset({"callback", "command", "deleter", "setter"})
"""Decorators that mark, or register with what is theirs, and do nothing else."""
_SURROUNDINGS = ("os.environ", "sys.argv", "sys.modules")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CONDITIONS = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "sys.version_info", "sys.platform")


def work_at_import(module: Module) -> Iterator[str]:
    """Yield every place where importing the module would do more than define things."""
    if not module.name.endswith("__main__"):  # the program itself, which nobody imports
        yield from _Reader(module, _names_in(module)).body(module.tree.body)


def _names_in(module: Module) -> dict[str, str]:
    """Return where the names at the top of a module come from: ``{"getLogger": "logging.getLogger"}``."""
    names: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, _DEFINITIONS):
            names.setdefault(node.name, f"{module.name}.{node.name}")
    return names


@dataclass(slots=True)
class _Reader:
    module: Module
    names: dict[str, str]
    package: str = field(init=False)

    def __post_init__(self) -> None:
        self.package = self.module.name.partition(".")[0]

    def body(self, statements: Iterable[ast.stmt]) -> Iterator[str]:
        for node in statements:
            yield from self.statement(node)

    def statement(self, node: ast.stmt) -> Iterator[str]:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass():
                return
            case ast.Expr(value=ast.Constant()):
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from self.definition(node)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                yield from self.assignment(node)
            case ast.If() if self.is_harmless(node.test):
                yield from self.body([*node.body, *node.orelse])
            case ast.Try() if all(isinstance(each, ast.Import | ast.ImportFrom) for each in node.body):
                yield from self.body([*node.orelse, *node.finalbody])
                for handler in node.handlers:
                    yield from self.body(handler.body)
            case _:
                yield self.module.at(node, f"`{_first_line(node)}` is work at import")

    def is_harmless(self, test: ast.expr) -> bool:
        """True for a question about the interpreter."""
        question = test.left if isinstance(test, ast.Compare) else test
        return ast.unparse(question) in _CONDITIONS

    def assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> Iterator[str]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if any(isinstance(part, ast.Attribute | ast.Subscript) for part in ast.walk(target)):
                yield self.module.at(node, f"`{_first_line(node)}` changes what is not the module's")
        yield from self.expression(node.value)

    def definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
        for decorator in node.decorator_list:
            yield from self.decorator(decorator)
        if isinstance(node, ast.ClassDef):
            for part in (*node.bases, *(keyword.value for keyword in node.keywords)):
                yield from self.expression(part)
            yield from self.body(node.body)
        else:
            for default in (*node.args.defaults, *node.args.kw_defaults):
                yield from self.expression(default)

    def decorator(self, node: ast.expr) -> Iterator[str]:
        function = node.func if isinstance(node, ast.Call) else node
        last = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if last not in _MARKS | _REGISTER and not self.is_pure(function):
            yield self.module.at(node, f"`@{ast.unparse(function)}` is no decorator known to do nothing at import")
        if isinstance(node, ast.Call):
            for part in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield from self.expression(part)

    def expression(self, node: ast.expr | None) -> Iterator[str]:
        """Look at everything that is evaluated now; the body of a lambda is not."""
        if node is None or isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.Call) and not self.is_pure(node.func):
            yield self.module.at(node, f"`{ast.unparse(node.func)}(...)` is no call known to be pure")
        if isinstance(node, ast.Subscript) and self.dotted(node.value) in _SURROUNDINGS:
            yield self.module.at(node, f"`{ast.unparse(node)}` reads the process's surroundings")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self.expression(child)
            elif isinstance(child, ast.keyword):
                yield from self.expression(child.value)
            elif isinstance(child, ast.comprehension):
                for part in (child.iter, *child.ifs):
                    yield from self.expression(part)

    def is_pure(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            return self.dotted(function.value) not in _SURROUNDINGS
        name = self.dotted(function)
        if name in _PURE or (name in _BUILTIN and hasattr(builtins, name)):
            return True
        # A class of ours; what its __init__ does is seen at run time, by the probe.
        last = name.rpartition(".")[2].lstrip("_")
        return name.startswith(f"{self.package}.") and last[:1].isupper()

    def dotted(self, node: ast.expr) -> str:
        """Return the full name of a function: ``struct.Struct``, ``otel_workflow.settings._one_of``."""
        first, dot, rest = ast.unparse(node).partition(".")
        return f"{self.names.get(first, first)}{dot}{rest}"


def _first_line(node: ast.stmt) -> str:
    return ast.unparse(node).splitlines()[0]
