"""The environment in which the original bus lives: built once per machine, outside the tree.

In it are what the bus needs to be imported and, each in a folder of its own, the two versions of
crackerjack whose bus is the oldest and the newest that was published.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.python313 import python313
from tests.servers.file_lock import held

__all__ = ("VERSIONS", "Environment", "NotBuilt", "original_environment")

VERSIONS = ("0.42.5", "0.46.4")
_HERE = Path(__file__).parent
_NEEDED = _HERE.parents[1] / "requirements" / "conformance.txt"
_SECONDS = 600


class NotBuilt(Exception):
    """The environment could not be built, and the end of what pip said."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the original in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def site(self, version: str) -> Path:
        """The folder that holds one version of crackerjack."""
        return self.folder / f"crackerjack-{version}"


def original_environment() -> Environment:
    """Return the environment, building it first if need be; NoPython313 or NotBuilt says why not."""
    interpreter = python313()
    lists = [_NEEDED, *(_list_of(version) for version in VERSIONS)]
    digest = hashlib.blake2b(digest_size=5)
    for text in [str(interpreter).encode(), *(path.read_bytes() for path in lists)]:
        digest.update(text)
    made = Environment(_cache() / f"conformance-{digest.hexdigest()}")
    ready = made.folder / "ready"
    if not ready.exists():
        with held(_cache() / "conformance.lock"):
            if not ready.exists():
                _build(made, interpreter)
                ready.touch()  # last: an environment without it is half of one
    return made


def _list_of(version: str) -> Path:
    return _HERE / f"crackerjack-{version}.txt"


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "otel-workflow" / "envs"


def _build(made: Environment, interpreter: Path) -> None:
    shutil.rmtree(made.folder, ignore_errors=True)
    _run(interpreter, "-m", "venv", made.folder)
    install = [made.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    _run(*install, "--require-hashes", "-r", _NEEDED)
    for version in VERSIONS:
        # Of its sixty requirements the bus imports none.
        _run(*install, "--require-hashes", "--target", made.site(version), "-r", _list_of(version))


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NotBuilt(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr[-800:].strip()}")
