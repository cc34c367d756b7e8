"""Importing the package defines things, and does nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.architecture import import_probe
from tests.architecture.import_work import work_at_import
from tests.architecture.source import PACKAGE, Module, modules_of


def probe(package: Path) -> tuple[int, str]:
    """Import a package in a fresh process that listens to what this does."""
    done = subprocess.run(
        [sys.executable, "-B", str(import_probe.__file__), str(package.parent), package.name],
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr
    return done.returncode, done.stdout


def work_in(text: str) -> list[str]:
    text = textwrap.dedent(text)
    return list(work_at_import(Module("tree.leaf", Path("tree/leaf.py"), "tree/leaf.py", text, ast.parse(text))))


def test_no_module_works_outside_its_functions() -> None:
    work = [line for module in modules_of(PACKAGE) for line in work_at_import(module)]
    assert not work, "\n".join(work)


def test_importing_every_module_reads_writes_and_starts_nothing() -> None:
    code, said = probe(PACKAGE)
    assert code == 0, said


@pytest.mark.parametrize(
    "text",
    [
        "print('hello')",
        "import os\nHOME = os.environ['HOME']",
        "import os\nHOME = os.environ.get('HOME')",
        "from os import environ\nHOME = environ['HOME']",
        "from os import getenv as pure\nHOME = [pure('HOME')]",
        "import os\nos.environ['A'] = 'b'",
        "import atexit\natexit.register(print)",
        "for x in (1, 2):\n    pass",
        "with open('x') as f:\n    pass",
        "import sys\nif sys.argv:\n    pass",
        "if __name__ == '__main__':\n    main()",
        "def f(x=open('y')):\n    pass",
        "import time\n@time.sleep(1)\ndef f(): ...",
        "class C:\n    x = open('y')",
        "x = {name: open(name) for name in ('a',)}",
        "x = f'{open(1)}'",
        "from tree.root import grow\nTREE = grow()",
        "try:\n    start()\nexcept OSError:\n    pass",
    ],
)
def test_work_at_import_is_found_in_the_text(text: str) -> None:
    assert work_in(text)


def test_definitions_and_constants_are_no_work() -> None:
    assert [] == work_in(
        '''
        """Words."""
        import logging, re
        from dataclasses import dataclass, field
        from functools import cache
        from typing import TYPE_CHECKING, TypeVar, overload

        try:
            import fast
        except ImportError:
            fast = None
        if TYPE_CHECKING:
            import tree.root

        T = TypeVar("T")
        WORDS = frozenset("a b".split()) | {re.compile("x")}
        _logger = logging.getLogger("tree")
        later = lambda: open("x")

        @dataclass(frozen=True)
        class Leaf:
            """Words."""
            names: list[str] = field(default_factory=lambda: [input()])

            @property
            def first(self): return open(self.names[0])

        @cache
        def green(x=Leaf()): return open("x")
        '''
    )


def test_work_at_import_is_heard_when_it_is_done(tmp_path: Path) -> None:
    """What a helper, a library or another module of the package does counts too, and is placed."""
    package = tmp_path / "tree"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "calm.py").write_text("import os\ndef f(): return os.environ['HOME']\n", encoding="utf-8")
    (package / "environment.py").write_text("import os\nA = 1\nos.environ.get('HOME')\n", encoding="utf-8")
    (package / "all.py").write_text("import os\ndict(os.environ)\n", encoding="utf-8")
    (package / "writes.py").write_text("from pathlib import Path\nPath('x').write_text('y')\n", encoding="utf-8")
    (package / "starts.py").write_text("import threading\nthreading.Thread(target=print).start()\n", encoding="utf-8")
    (package / "calls.py").write_text("from tree.calm import f\nf()\n", encoding="utf-8")
    (package / "talks.py").write_text("import socket\nsocket.socket().close()\n", encoding="utf-8")
    code, said = probe(package)
    assert code == 1
    places = {Path(line.partition(": ")[0]).name for line in said.splitlines() if line.startswith(str(package))}
    assert {"environment.py:3", "all.py:2", "writes.py:2", "starts.py:2", "calm.py:2", "talks.py:2"} == places


def test_what_another_library_does_at_its_import_is_not_ours(tmp_path: Path) -> None:
    package = tmp_path / "tree"
    package.mkdir()
    (package / "__init__.py").write_text("import library\n", encoding="utf-8")
    (tmp_path / "library.py").write_text(
        "import os\nos.environ.get('HOME')\nopen('x', 'w').close()\n", encoding="utf-8"
    )
    assert (0, "1 modules of tree imported\n\n") == probe(package)
