"""What the pages show is what happens: their Python runs, their commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_of_python_runs(code: str, tmp_path: Path) -> None:
    """As it stands, quietly."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OW_JOURNAL": str(tmp_path / "j")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_every_make_target_that_the_readme_names_exists() -> None:
    """The newcomer's commands."""
    named = set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text())) - {"test`)"}
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set() == {name for name in named if name not in targets}


def test_every_verb_that_the_readme_names_exists() -> None:
    """Except those that it calls not built yet."""
    verbs = set(re.findall(r"^\| `otel-workflow (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    shown = subprocess.run(
        [sys.executable, "-m", "otel_workflow", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"report", "runs", "ship", "bridge", "status", "doctor"} == verbs
    assert set() == {verb for verb in verbs if f" {verb} " not in shown.stdout}
