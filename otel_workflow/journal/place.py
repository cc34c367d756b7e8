"""Where the journal of this project or CI job lies.

The first that can be used of: ``OW_JOURNAL``; in CI the runner's temporary directory or the
project's; the user's state directory, one per project, unless it is on a network or FUSE file
system; ``XDG_RUNTIME_DIR``; a private directory under the temporary one. None: memory only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from otel_workflow.journal.writer import prepare_directory

__all__ = ("candidates", "find_place", "is_remote", "project_root")

_REMOTE = (
    *("9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse", "glusterfs", "gpfs"),
    *("lustre", "ncpfs", "nfs", "ocfs2", "orangefs", "prl_fs", "pvfs", "smb", "sshfs", "vboxsf", "virtiofs"),
)
_ROOT_MARKS = (".git", ".hg", "pyproject.toml")


def project_root(start: Path) -> Path:
    """Return the directory that holds the project: the nearest one with a repository or a pyproject."""
    for place in (start, *start.parents):
        # os.path.exists: a directory that may not be looked into holds no project of ours
        if any(os.path.exists(place / mark) for mark in _ROOT_MARKS):  # noqa: PTH110
            return place
    return start


def is_remote(path: Path, mounts: str = "/proc/self/mounts") -> bool:
    """True when the path lies on a network or FUSE file system, where appends are not atomic."""
    best, kind = "", ""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    target = os.path.realpath(path)
    for line in lines:
        fields = line.split(" ")
        mount = _unescaped(fields[1]) if len(fields) > 2 else ""
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        if mount and inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind.startswith(_REMOTE)


def _unescaped(field: str) -> str:
    """Undo what the kernel does to space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def candidates(environ: Mapping[str, str], cwd: Path) -> Iterator[Path]:
    """Yield the places to try, best first."""
    if environ.get("OW_JOURNAL", "").strip():
        yield cwd / environ["OW_JOURNAL"]
        return
    if environ.get("RUNNER_TEMP"):
        yield Path(environ["RUNNER_TEMP"]) / "otel-workflow"
    if environ.get("CI_PROJECT_DIR"):
        yield Path(environ["CI_PROJECT_DIR"]) / ".otel-workflow"
    name = _name_of(project_root(cwd))
    state = _state_directory(environ)
    if state is not None and not is_remote(state):
        yield state / "otel-workflow" / name
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "otel-workflow" / name
    yield _shared(environ) / name


def _name_of(root: Path) -> str:
    """A name for people, and a hash of the whole path so that no two projects share one."""
    from hashlib import blake2b

    words = re.sub(r"[^A-Za-z0-9._-]+", "_", root.name)[:64] or "root"
    return f"{words}-{blake2b(os.fsencode(root), digest_size=4).hexdigest()}"


def _state_directory(environ: Mapping[str, str]) -> Path | None:
    state = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):  # noqa: PTH117 - the XDG specification has others ignored
        return Path(state)
    return Path(environ["HOME"]) / ".local/state" if environ.get("HOME") else None


def _shared(environ: Mapping[str, str]) -> Path:
    """This user's directory in the temporary one, which belongs to everybody."""
    return Path(environ.get("TMPDIR") or "/tmp") / f"otel-workflow-{os.geteuid()}"  # noqa: S108 - made private


def find_place(environ: Mapping[str, str], cwd: Path) -> tuple[Path | None, str]:
    """Return the first usable directory, made private, and why earlier ones were passed over."""
    passed = []
    for place in candidates(environ, cwd):
        path = Path(os.path.abspath(place))  # noqa: PTH100 - a symbolic link must stay visible
        try:
            if place.parent == _shared(environ):
                prepare_directory(str(path.parent))  # or whoever made it first could exchange what is in it
            prepare_directory(str(path))
        except (OSError, ValueError) as error:
            passed.append(f"{path}: {getattr(error, 'strerror', None) or error}")
        else:
            return path, "; ".join(passed)
    return None, "; ".join(passed)
