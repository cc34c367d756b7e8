"""Ships a journal directory as a user does, and copies one so that it can be shipped again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.endtoend.processes import clean_environment

__all__ = ("command", "copied", "ship")


def command(journal: Path) -> list[str]:
    """The command that sends what waits in a directory."""
    return [sys.executable, "-m", "otel_workflow", "ship", "--journal", str(journal)]


def ship(journal: Path, endpoint: str) -> None:
    """Send what waits in a directory; AssertionError with its stderr when the command fails."""
    done = subprocess.run(
        [*command(journal), "--deadline", "30"],  # outright: a busy machine may answer later than a build waits
        env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def copied(journal: Path, to: Path) -> Path:
    """Copy all segments, those already delivered too, as if nothing had been sent yet."""
    to.mkdir()
    for segment in [*journal.glob("*.owj"), *journal.glob("retired/*.owj")]:
        shutil.copy2(segment, to / segment.name)
    return to
