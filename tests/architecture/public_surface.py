"""What users may lean on, one line each, held equal to ``public_surface.txt`` beside this file.

``python -m tests.architecture.public_surface`` prints it, ``--write`` makes it the committed one.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ("LISTING", "MODULES", "render", "render_module")

MODULES = ("otel_workflow", "otel_workflow.bridge", "otel_workflow.testing")
"""The modules whose names are a promise; engines, live and report join when their face is decided."""

LISTING = Path(__file__).with_name("public_surface.txt")

_SPOKEN = (
    "__call__",
    "__enter__",
    "__exit__",
    "__aenter__",
    "__aexit__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__bool__",
)
"""The methods that are used by syntax, and are part of the face where they are defined."""


def render() -> str:
    """Return the public surface as it is now."""
    return "\n".join(line for name in MODULES for line in (*render_module(name), "")) + "\n"


def render_module(name: str) -> Iterator[str]:
    """Yield one line for each public name of a module, and for each public member of a class."""
    module = importlib.import_module(name)
    yield name
    for public in sorted(module.__all__):
        value = getattr(module, public)
        if isinstance(value, type):
            yield from _class(public, value, {getattr(module, other) for other in module.__all__ if other != public})
        elif callable(value):
            yield from _function(public, value)
        else:
            yield f"{public}: {type(value).__name__}"


def _class(name: str, kind: type, listed: Collection[Any]) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    signature = "" if issubclass(kind, Enum) else _signature(kind)
    yield f"class {name}{f'({bases})' if bases else ''}{f': {signature}' if signature else ''}"
    if issubclass(kind, Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in kind)
    for member, value in sorted(_members(kind, listed).items()):
        yield from (f"    {line}" for line in _member(member, value))


def _members(kind: type, listed: Collection[Any]) -> dict[str, Any]:
    """Return what a class of ours defines, with what it has from bases of ours that have no line of their own."""
    covered = {base for other in kind.__mro__ if other in listed for base in other.__mro__}
    members: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        if owner not in covered and owner.__module__.partition(".")[0] == kind.__module__.partition(".")[0]:
            members.update(vars(owner))
            members.update({name: _Annotated(_text(says)) for name, says in inspect.get_annotations(owner).items()})
    enum = {*kind.__members__, "name", "value"} if issubclass(kind, Enum) else set()
    return {name: value for name, value in members.items() if _is_public(name) and name not in enum}


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in _SPOKEN


@dataclasses.dataclass(frozen=True)
class _Annotated:
    says: str


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, _Annotated):
        yield f"{name}: {value.says}"
    elif isinstance(value, property):
        returns = _text(inspect.signature(value.fget).return_annotation) if value.fget else "Any"
        yield f"{name}: {returns}{'' if value.fset else '  # read-only'}"
    elif isinstance(value, staticmethod | classmethod):
        yield from (f"{type(value).__name__} {line}" for line in _function(name, value.__func__))
    elif inspect.isfunction(value):
        yield from _function(name, value)
    else:
        yield name


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    for each in typing.get_overloads(function) or [function]:
        yield f"{word} {name}{_signature(each)}"


def _signature(function: Callable[..., Any]) -> str:
    try:
        signature = inspect.signature(function)
    except ValueError:  # made in C, such as str
        return ""
    parts, parameters = [], list(signature.parameters.values())
    for number, parameter in enumerate(parameters):
        before = parameters[number - 1].kind if number else None
        if before is parameter.POSITIONAL_ONLY is not parameter.kind:
            parts.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and before not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            parts.append("*")
        parts.append(_parameter(parameter))
    if parameters and parameters[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    returns = signature.return_annotation
    return f"({', '.join(parts)})" + (f" -> {_text(returns)}" if returns is not signature.empty else "")


def _parameter(parameter: inspect.Parameter) -> str:
    stars = (
        "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    )
    says = "" if parameter.annotation is parameter.empty else f": {_text(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return f"{stars}{parameter.name}{says}"
    default = repr(parameter.default)
    # What is no literal (a sentinel, a class, a factory) is shown differently by each run or Python.
    return f"{parameter.name}{says} = {'...' if default.startswith('<') else default}"


def _text(annotation: Any) -> str:
    """Return an annotation as it is written, which is what `from __future__ import annotations` keeps."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def main(arguments: list[str]) -> int:
    """Print the surface, or write it down."""
    if arguments == ["--write"]:
        LISTING.write_text(render(), encoding="utf-8")
        print(f"written: {LISTING}")
    else:
        print(render(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
