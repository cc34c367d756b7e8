"""The one writer goes into foreign interpreters: Python 3.8, standard library, nothing of ours."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_workflow.journal import EVENT, JournalReader
from tests.architecture.imports import names_of
from tests.architecture.source import PACKAGE, modules_of

WRITER = PACKAGE / "journal" / "writer.py"

_PROGRAM = """
import importlib.util, sys
assert sys.version_info[:2] == (3, 8), sys.version
spec = importlib.util.spec_from_file_location("writer", sys.argv[1])
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)
journal = writer.JournalWriter(sys.argv[2], lambda: {"version": 1, "says": "hello"})
assert journal.write(writer.EVENT, b"from 3.8")
journal.close()
assert journal.dropped == {}, journal.dropped
"""


def old_python() -> str | None:
    """Return a Python 3.8 that starts, if this machine has one."""
    homes = sorted((Path.home() / ".pyenv" / "versions").glob("3.8*/bin/python"))
    for candidate in (*map(str, homes), shutil.which("python3.8")):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def test_the_writer_is_python_3_8() -> None:
    """As far as the parser tells; the interpreter itself, where there is one, tells the rest."""
    ast.parse(WRITER.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_newer_syntax_would_be_noticed() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("match x:\n    case 1: pass", feature_version=(3, 8))


def test_the_writer_imports_the_standard_library_only() -> None:
    [writer] = [module for module in modules_of(PACKAGE) if module.path == WRITER]
    names = {name.partition(".")[0] for name, _, _ in names_of(writer)}
    assert set() == names - sys.stdlib_module_names


def test_a_real_python_3_8_writes_a_record_that_we_read(tmp_path: Path) -> None:
    python = old_python()
    if python is None:
        pytest.skip("no Python 3.8 here")
    done = subprocess.run(
        [python, "-B", "-c", _PROGRAM, str(WRITER), str(tmp_path / "journal")],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    [segment] = JournalReader(tmp_path / "journal").segments()
    assert "hello" == segment.header["says"], json.dumps(segment.header)
    assert [b"from 3.8"] == [record.payload for record in segment.read() if record.kind == EVENT]
    assert "closed" == segment.ended
