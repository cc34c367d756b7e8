"""The river flows downwards: the contracts in ``pyproject.toml``, kept and seen to bite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.imports import names_of
from tests.architecture.source import PACKAGE, ROOT, modules_of, pyproject

PRODUCERS = {"instrumentation", "engines", "ci"}
CONSUMERS = {"bridge", "live", "report", "transports"}
VOCABULARY = {f"otel_workflow.{name}" for name in ("between", "clock", "errors", "events", "runs", "semconv")}

_RUN = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def contracts() -> dict[str, dict[str, object]]:
    return {contract["name"]: contract for contract in pyproject()["tool"]["importlinter"]["contracts"]}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty house with a room for every module that a contract names."""
    rooms = set(re.findall(r"[a-z_]+", " ".join(contracts()["The river flows downwards"]["layers"])))  # type: ignore[arg-type]
    package = tmp_path / "otel_workflow"
    package.mkdir()
    for name in ("__init__", *rooms):
        (package / f"{name}.py").touch()
    return package


def test_imports_point_downwards_only() -> None:
    code, said = lint_imports(ROOT)
    assert code == 0, said


def test_an_empty_house_keeps_every_contract(house: Path) -> None:
    code, said = lint_imports(house.parent)
    assert code == 0, said
    assert f"{len(contracts())} kept, 0 broken" in said


@pytest.mark.parametrize(
    ("importer", "line", "contract"),
    [
        ("events", "import otel_workflow.runtime", "The river flows downwards"),
        ("events", "def later():\n    import otel_workflow.bus", "The river flows downwards"),
        (
            "runs",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import otel_workflow.journal",
            "The river flows",
        ),
        ("bus", "from otel_workflow import journal", "The river flows downwards"),
        ("report", "import otel_workflow.live", "The river flows downwards"),
        ("settings", "import otel_workflow.testing", "The river flows downwards"),
        ("instrumentation", "import otel_workflow.bridge", "Producers know no consumer"),
        ("bridge", "import otel_workflow.instrumentation", "Consumers know no producer"),
        ("runs", "import otel_workflow.bus", "The vocabulary needs nobody"),
        ("events", "import opentelemetry.trace", "The vocabulary needs nobody"),
    ],
)
def test_an_import_upwards_or_across_breaks_its_contract(house: Path, importer: str, line: str, contract: str) -> None:
    (house / f"{importer}.py").write_text(line, encoding="utf-8")
    code, said = lint_imports(house.parent)
    assert code == 1, said
    assert re.search(rf"{contract}.* BROKEN", said), said


def test_a_stray_module_breaks_the_layers(house: Path) -> None:
    (house / "utilities.py").touch()
    code, said = lint_imports(house.parent)
    assert code == 1, said
    assert "utilities" in said


def test_every_producer_and_consumer_that_exists_is_in_the_contracts() -> None:
    """import-linter refuses a name that does not exist, so new rooms are added when they are built."""
    built = {module.name.split(".")[1] for module in modules_of(PACKAGE) if "." in module.name}
    forward, back = contracts()["Producers know no consumer"], contracts()["Consumers know no producer"]
    producers = sorted(f"otel_workflow.{name}" for name in PRODUCERS & built)
    consumers = sorted(f"otel_workflow.{name}" for name in CONSUMERS & built)
    assert (producers, consumers) == (forward["source_modules"], forward["forbidden_modules"])
    assert (consumers, producers) == (back["source_modules"], back["forbidden_modules"])


def test_the_vocabulary_imports_the_standard_library_and_itself_only() -> None:
    strangers = [
        f"{module.place}:{line}: imports {name}"
        for module in modules_of(PACKAGE)
        if module.name in VOCABULARY
        for name, line, _ in names_of(module)
        if name.partition(".")[0] not in sys.stdlib_module_names and not VOCABULARY & {name, name.rpartition(".")[0]}
    ]
    assert [] == strangers


@pytest.mark.parametrize("line", ["from opentelemetry.sdk.trace import Span", "import opentelemetry.exporter.otlp"])
@pytest.mark.parametrize(
    ("room", "may"),
    [("live/page.py", False), ("bridge/http.py", False), ("bridge/encoder.py", True), ("runtime/provider.py", True)],
)
def test_only_a_few_rooms_may_know_the_sdk(room: str, may: bool, line: str) -> None:
    """import-linter cannot say this, since the API shares the SDK's namespace; ruff can."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select=TID251", f"--stdin-filename=otel_workflow/{room}", "-"],
        cwd=ROOT,
        input=f"{line}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if may else 1), done.stdout + done.stderr
    assert may or "TID251" in done.stdout
