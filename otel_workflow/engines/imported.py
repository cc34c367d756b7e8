"""Calls back when a module is imported, or at once if it was: an engine is patched in either order.

The finder steps in for one module only, takes itself away when that has been loaded, and leaves the
module with the spec and loader it would have had.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast

from otel_workflow.guard import guarded

__all__ = ("WhenImported",)


class WhenImported:
    """Waits on ``sys.meta_path`` for one module; ``call`` gets it as soon as its code has run."""

    def __init__(self, module: str, call: Callable[[ModuleType], object]) -> None:
        self.module = module
        self.call = call

    def watch(self) -> None:
        """Call now if the module is there, else when it comes."""
        found = sys.modules.get(self.module)
        if found is not None:
            guarded(None, self.call, found)
        elif self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def forget(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def loaded(self, module: ModuleType) -> None:
        """Call back; the module's code has run."""
        self.forget()
        guarded(None, self.call, module)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module as the other finders do, with a loader that tells us; None for all others."""
        if name != self.module:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None) if finder is not self else None
            spec: importlib.machinery.ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = cast("Any", _Telling(spec.loader, self.loaded))
                return spec
        return None


class _Telling:
    """A loader that steps aside before the module's code runs, and calls back after it."""

    def __init__(self, loader: Any, call: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        made: ModuleType | None = create(spec) if create is not None else None
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._call(module)
