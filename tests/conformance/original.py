"""Make the original bus importable by itself: run inside its own environment, standard library only.

``crackerjack/__init__.py`` loads the whole tool with its sixty requirements. An empty package with
the same path stands in for it, so that ``crackerjack.events.workflow_bus`` is loaded as it was
published and nothing else is. As a script: ``original.py SITE PROGRAM`` runs a program so.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
import types

__all__ = ("prepare",)


def prepare(site: str) -> None:
    """Put one version of crackerjack on the path, and keep acb's log quiet."""
    logging.getLogger("acb").setLevel(logging.CRITICAL)
    package = types.ModuleType("crackerjack")
    package.__path__ = [os.path.join(site, "crackerjack")]  # noqa: PTH118
    sys.modules["crackerjack"] = package
    sys.path.append(site)


if __name__ == "__main__":
    prepare(sys.argv[1])
    runpy.run_path(sys.argv[2], run_name="__main__")
