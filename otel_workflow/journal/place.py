"""Where the journal of this project or CI job lies.

The first that can be used of: ``OW_JOURNAL``; in CI the runner's temporary directory or the
project's; the user's state directory, one per project, unless it is on a network or FUSE file
system; ``XDG_RUNTIME_DIR``; a private directory under the temporary one. None: memory only.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from otel_workflow.journal.writer import prepare_directory

__all__ = ("candidates", "find_place", "is_remote", "project_root")

_REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "glusterfs", "lustre", "sshfs")
_ROOT_MARKS = (".git", ".hg", "pyproject.toml")


def project_root(start: Path) -> Path:
    """Return the directory that holds the project: the nearest one with a repository or a pyproject."""
    for place in (start, *start.parents):
        if any((place / mark).exists() for mark in _ROOT_MARKS):
            return place
    return start


def is_remote(path: Path) -> bool:
    """True when the path lies on a network or FUSE file system, where appends are not atomic."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    target = os.path.realpath(path)
    for line in lines:
        fields = line.split(" ")
        mount = fields[1].replace("\\040", " ") if len(fields) > 2 else ""
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        if mount and inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind.startswith(_REMOTE)


def candidates(environ: Mapping[str, str], cwd: Path) -> Iterator[Path]:
    """Yield the places to try, best first."""
    if environ.get("OW_JOURNAL", "").strip():
        yield Path(environ["OW_JOURNAL"])
        return
    if environ.get("RUNNER_TEMP"):
        yield Path(environ["RUNNER_TEMP"]) / "otel-workflow"
    if environ.get("CI_PROJECT_DIR"):
        yield Path(environ["CI_PROJECT_DIR"]) / ".otel-workflow"
    root = project_root(cwd)
    name = f"{root.name or 'root'}-{hashlib.blake2b(str(root).encode(), digest_size=4).hexdigest()}"
    state = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else "")
    if state and not is_remote(Path(state)):
        yield Path(state) / "otel-workflow" / name
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "otel-workflow" / name
    yield Path(tempfile.gettempdir()) / f"otel-workflow-{os.geteuid()}" / name


def find_place(environ: Mapping[str, str], cwd: Path) -> tuple[Path | None, str]:
    """Return the first usable directory, made private, and why earlier ones were passed over."""
    passed = []
    for place in candidates(environ, cwd):
        path = Path(os.path.abspath(place))  # noqa: PTH100 - a symbolic link must stay visible
        try:
            prepare_directory(str(path))
        except OSError as error:
            passed.append(f"{path}: {error.strerror or error}")
        else:
            return path, "; ".join(passed)
    return None, "; ".join(passed)
