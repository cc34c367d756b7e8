"""An engine is patched whether it was imported before or comes later."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from otel_workflow.engines.imported import WhenImported

NAME = "ow_engine.inner"


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a module that nobody has imported."""
    (tmp_path / "ow_engine").mkdir()
    (tmp_path / "ow_engine" / "__init__.py").touch()
    (tmp_path / "ow_engine" / "inner.py").write_text("value = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("ow_engine", NAME):
        sys.modules.pop(name, None)


@pytest.fixture
def told() -> list[int]:
    """The value each module had when we were called."""
    return []


@pytest.fixture
def watcher(told: list[int]) -> Iterator[WhenImported]:
    """Waits for the module."""
    made = WhenImported(NAME, lambda module: told.append(module.value))
    yield made
    made.forget()


def test_a_module_that_is_there_is_called_back_at_once(watcher: WhenImported, told: list[int]) -> None:
    importlib.import_module(NAME)
    watcher.watch()
    assert [1] == told
    assert watcher not in sys.meta_path


def test_a_module_that_comes_later_is_called_back_when_its_code_has_run(watcher: WhenImported, told: list[int]) -> None:
    watcher.watch()
    watcher.watch()
    assert [] == told
    importlib.import_module(NAME)
    assert [1] == told
    assert watcher not in sys.meta_path


def test_the_module_is_what_it_would_have_been(watcher: WhenImported) -> None:
    """The same loader, so its source can be found and it can be reloaded."""
    watcher.watch()
    found = importlib.import_module(NAME)
    assert found.__spec__ is not None
    assert found.__loader__ is found.__spec__.loader
    assert "SourceFileLoader" == type(found.__loader__).__name__
    assert 1 == importlib.reload(found).value


def test_looking_for_the_module_is_not_importing_it(watcher: WhenImported, told: list[int]) -> None:
    watcher.watch()
    assert importlib.util.find_spec(NAME) is not None
    importlib.import_module(NAME)
    assert [1] == told


def test_other_modules_are_none_of_our_business(watcher: WhenImported, told: list[int]) -> None:
    watcher.watch()
    importlib.import_module("ow_engine")
    assert [] == told
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("ow_engine.nowhere")


def test_a_module_that_is_not_there_is_missed_as_always() -> None:
    missing = WhenImported("ow_engine.nowhere", print)
    missing.watch()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("ow_engine.nowhere")
    missing.forget()


def test_a_callback_that_fails_does_not_fail_the_import() -> None:
    def broken(module: ModuleType) -> None:
        raise LookupError("ours")

    WhenImported(NAME, broken).watch()
    assert 1 == importlib.import_module(NAME).value


def test_who_forgets_is_not_called(watcher: WhenImported, told: list[int]) -> None:
    watcher.watch()
    watcher.forget()
    importlib.import_module(NAME)
    assert [] == told
