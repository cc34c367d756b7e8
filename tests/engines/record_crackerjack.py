"""Record what crackerjack 0.46.4 says on its bus while it checks a toy project, offline.

Writes ``recorded/crackerjack_0_46_4.json``: the events as they were published, live objects named by
their class, without paths of this machine; and the tree that our adapter made of them live.

It needs an interpreter with crackerjack and ours (1.2 GB; not among the cached environments), made so::

    uv venv --python 3.13 /tmp/cj
    uv pip install --python /tmp/cj/bin/python --exclude-newer 2026-02-01 crackerjack==0.46.4
    uv pip install --python /tmp/cj/bin/python opentelemetry-api opentelemetry-sdk
    uv pip install --python /tmp/cj/bin/python --no-deps -e .
    python tests/engines/record_crackerjack.py /tmp/cj/bin/python
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent / "recorded" / "crackerjack_0_46_4.json"
COMMAND = ("crackerjack", "--fast")
SECONDS = 600
TOY = {
    "pyproject.toml": '[project]\nname = "toy-pkg"\nversion = "0.1.0"\nrequires-python = ">=3.13"\n',
    "README.md": "# Toy\n",
    "toy_pkg/__init__.py": '"""A toy."""\n\n\ndef add(a: int, b: int) -> int:\n    """Add."""\n    return a + b   \n',
}


def main(interpreter: str) -> None:
    """Make the project, run crackerjack on it without a network, and keep what was said."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "toy"
        for name, text in TOY.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text, encoding="utf-8")
        for words in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], cwd=project, check=True)
        out = Path(folder) / "events.json"
        path = f"{Path(interpreter).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            [*_without_network(), interpreter, __file__, "--inside", out],
            cwd=project,
            env={**os.environ, "PATH": path, "OW_JOURNAL": f"{folder}/journal"},
            timeout=SECONDS,
            check=False,
        )
        PLACE.parent.mkdir(exist_ok=True)
        text = out.read_text(encoding="utf-8").replace(str(project.resolve()), "/toy")
        PLACE.write_text(text, encoding="utf-8")
    found = json.loads(text)
    print(f"{len(found['events'])} events, {found['buses']} buses\n{found['tree']}")


def _without_network() -> list[str]:
    unshare = shutil.which("unshare")
    return [unshare, "--net"] if unshare and os.geteuid() == 0 else []


def inside(out: str) -> None:
    """Run crackerjack in this process, with our adapter and a tap that keeps each event as it was."""
    ow = importlib.import_module("otel_workflow")
    adapter = importlib.import_module("otel_workflow.engines.crackerjack")
    module = importlib.import_module(adapter.MODULE)
    events: list[dict[str, Any]] = []
    made: list[int] = []
    _tap(module.WorkflowEventBus, events, made)
    runtime = ow.configure()
    adapter.attach()
    sys.argv = list(COMMAND)
    try:
        runpy.run_module("crackerjack", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print("crackerjack ended with", end.code)
    finally:
        adapter.flush()
        runtime.flush()
        load = importlib.import_module("otel_workflow.report")
        found = {
            "crackerjack": version("crackerjack"),
            "acb": version("acb"),
            "python": platform.python_version(),
            "command": " ".join(COMMAND),
            "buses": len(made),
            "tree": "\n".join(load.tree_text(run) for run in load.load_runs(runtime.journal)),
            "events": events,
        }
        Path(out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _tap(cls: Any, events: list[dict[str, Any]], made: list[int]) -> None:
    construct, collect = cls.__init__, cls._collect_subscriptions

    @functools.wraps(construct)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(id(self))
        construct(self, *args, **kwargs)

    @functools.wraps(collect)
    def tapped(self: Any, event: Any) -> Any:
        told = event.metadata
        events.append(
            {
                "event_type": told.event_type,
                "source": told.source,
                "timestamp": told.timestamp.isoformat(),
                "correlation_id": told.correlation_id,
                "payload": _shown(event.payload),
            }
        )
        return collect(self, event)

    cls.__init__, cls._collect_subscriptions = init, tapped


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    return {"live object": f"{type(value).__module__}.{type(value).__qualname__}"}


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        inside(sys.argv[2])
    else:
        main(sys.argv[1])
