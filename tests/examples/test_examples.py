"""Every example runs as it stands, and says what its page promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from otel_workflow.report import load_runs, tree_text

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """Without an endpoint, quietly, and with a journal at the end."""
    done = subprocess.run(
        [sys.executable, example],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OW_JOURNAL": str(tmp_path / "j")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [] != load_runs(tmp_path / "j")


def test_the_nightly_example_fails_as_its_page_says(tmp_path: Path) -> None:
    """Compile fails, publish is skipped, and the run fails with the compile phase."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OW_JOURNAL": str(tmp_path / "j")}
    subprocess.run([sys.executable, "examples/nightly.py"], cwd=EXAMPLES[0].parents[1], env=environ, check=True)
    (run,) = load_runs(tmp_path / "j")
    outcomes = [line.split(":")[0].rsplit(" ", 1)[0].strip() for line in tree_text(run).splitlines()]
    assert ["nightly failure", "compile failure", "publish skip"] == outcomes
