"""What every file of the package keeps to."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import otel_workflow
from tests.architecture.rules import GUARDS, RULES, files_named_like
from tests.architecture.source import PACKAGE, Module, modules_of

Rule = Callable[[Module], Iterator[str]]

_HEAD = '"""Words."""\n\n__all__ = ()\n\n'

_BROKEN = {
    "broad_excepts": [
        "try:\n    pass\nexcept Exception:\n    pass",
        "try:\n    pass\nexcept BaseException as error:\n    raise",
        "try:\n    pass\nexcept:\n    pass",
        "try:\n    pass\nexcept (OSError, Exception):\n    pass",
        "with contextlib.suppress(Exception):\n    pass",
    ],
    "globals_declared": ["def _f():\n    global x"],
    "long_functions": ["def _f():\n" + "    pass\n" * 80, "class _C:\n  async def f():\n" + "    pass\n" * 80],
    "long_modules": ["\n" * 600],
    "missing_docstrings": [
        "def f():\n    pass",
        "class C:\n    pass",
        'class C:\n    """Words."""\n\n    @property\n    def f(self):\n        pass',
        'async def f():\n    """No full stop"""',
        'def f():\n    """   """',
    ],
    "missing_exports": [
        "__all__ = ('again',)",
        "__all__ += ('a',)\n__all__ = [name for name in ()]",
    ],
    "unfinished_work": ["# TODO later", "x = 1  # FIXME", "# XXX"],
}

_KEPT = {
    "broad_excepts": "try:\n    pass\nexcept OSError:\n    pass",
    "globals_declared": "x = 1",
    "long_functions": "def _f():\n" + "    pass\n" * 79,
    "long_modules": "\n" * 595,
    "missing_docstrings": 'def f():\n    """Words.\n\n    More"""\n\ndef _g():\n    pass\n\n@overload\ndef h(): ...',
    "missing_exports": "",
    "unfinished_work": "mastodon = 'TODOS'",
}


def module_of(text: str, name: str = "otel_workflow.somewhere") -> Module:
    place = f"{name.replace('.', '/')}.py"
    return Module(name, Path(place), place, text, ast.parse(text))


def name_of(rule: Rule) -> str:
    return rule.__name__


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    broken = [line for module in modules_of(PACKAGE) for line in rule(module)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_the_rule_can_be_broken(rule: Rule) -> None:
    for text in _BROKEN[rule.__name__]:
        assert list(rule(module_of(_HEAD + text))), text
    assert [] == list(rule(module_of(_HEAD + _KEPT[rule.__name__])))


def test_a_module_without_exports_or_words_is_found() -> None:
    found = {rule.__name__ for rule in RULES if list(rule(module_of("x = 1")))}
    assert {"missing_docstrings", "missing_exports"} == found


@pytest.mark.parametrize("guard", GUARDS)
def test_the_guards_exist_and_are_the_exception(guard: str) -> None:
    assert guard in {module.name for module in modules_of(PACKAGE)}
    [rule] = [rule for rule in RULES if rule.__name__ == "broad_excepts"]
    assert [] == list(rule(module_of(_BROKEN["broad_excepts"][0], guard)))


@pytest.mark.parametrize("name", [module.name for module in modules_of(PACKAGE) if "__main__" not in module.name])
def test_everything_a_module_exports_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert [] == [each for each in exported if not hasattr(module, each)]


def test_no_file_is_named_like_a_public_function() -> None:
    """``import otel_workflow.phase`` would put the file where the function was."""
    functions = {name for name in otel_workflow.__all__ if inspect.isfunction(getattr(otel_workflow, name))}
    assert {"phase", "workflow", "configure"} <= functions
    assert [] == list(files_named_like(functions, modules_of(PACKAGE)))


@pytest.mark.parametrize("name", ["otel_workflow.phase", "otel_workflow.cli.phase"])
def test_a_file_named_like_a_public_function_is_found(name: str) -> None:
    assert [f"{name.replace('.', '/')}.py:1: named like the public function phase"] == list(
        files_named_like({"phase"}, [module_of("", name)])
    )
