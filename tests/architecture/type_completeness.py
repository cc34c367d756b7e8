"""Every public symbol has a type that every type checker knows, without guessing.

``python -m tests.architecture.type_completeness`` asks pyright and prints what is incomplete; with
``--all`` also inside the package, which is where a "partially unknown" comes from. A strict type
checker inside says nothing about this: it may infer what users' checkers may not.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.architecture.public_surface import MODULES
from tests.architecture.source import ROOT

__all__ = ("incomplete", "public_prefixes", "report_of")


def report_of(package: str) -> dict[str, Any]:
    """Return what pyright says of a package; it finds Python on PATH, and the package as if installed."""
    bin_ = str(Path(sys.executable).parent)
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        env={
            **os.environ,
            "PATH": os.pathsep.join([bin_, os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(path),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"pyright did not run:\n{done.stdout}{done.stderr}") from None
    errors = [each["message"] for each in report["generalDiagnostics"]]
    if errors or not report["typeCompleteness"]["symbols"]:
        raise SystemExit(f"pyright looked at nothing: {'; '.join(errors)}")
    return report


def public_prefixes(modules: Iterable[str]) -> set[str]:
    """Return the names under which the public ones are known: as exported, and where they are defined."""
    names = set()
    for module in modules:
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            value = getattr(loaded, name)
            names.add(f"{module}.{name}")
            if hasattr(value, "__qualname__"):
                names.add(f"{value.__module__}.{value.__qualname__}")
    return names


def incomplete(report: Mapping[str, Any], prefixes: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many symbols have one of the prefixes, and a line for each whose type is not known."""
    prefixes = tuple(prefixes)
    dotted = tuple(f"{prefix}." for prefix in prefixes)
    public = [
        symbol
        for symbol in report["typeCompleteness"]["symbols"]
        if symbol["name"] in prefixes or symbol["name"].startswith(dotted)
    ]
    return len(public), [
        line for symbol in public if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"] for line in _lines(symbol)
    ]


def _lines(symbol: Mapping[str, Any]) -> Iterator[str]:
    if not symbol["diagnostics"]:
        yield f"{symbol['name']}: a part of it is incomplete"
    for diagnostic in symbol["diagnostics"]:
        said = " ".join(diagnostic["message"].split())
        line = f":{diagnostic['range']['start']['line'] + 1}" if "range" in diagnostic else ""
        place = diagnostic["file"].removeprefix(f"{ROOT}/")
        yield f"{place}{line}{': ' if place else ''}{symbol['category']} {symbol['name']}: {said}"


def main(arguments: list[str]) -> int:
    """Print what is incomplete; return 1 below 100 %."""
    report = report_of("otel_workflow")
    count, lines = incomplete(report, {"otel_workflow"} if arguments == ["--all"] else public_prefixes(MODULES))
    if not count:
        raise SystemExit("none of the public names was found in pyright's report")
    print(*lines, sep="\n")
    print(f"{count} public symbols, {len(lines)} complaints")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
