"""A program of its own: imports every module of a package and tells what that did.

``python import_probe.py <folder of the package> <package>`` prints one line for each environment
variable read, file opened, process or thread started and socket made by the package's own lines.
What a third-party module does while it is imported is not ours, and is passed over.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ("main",)

_WORK = (
    "open",
    "os.chdir",
    "os.fork",
    "os.listdir",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.system",
    "shutil.",
    "socket.",
    "sqlite3.connect",
    "subprocess.Popen",
    "tempfile.",
    "urllib.Request",
)


class Probe:
    """Listens while the package is imported; ``found`` says what was heard, each place once."""

    def __init__(self, package: Path) -> None:
        self.package = f"{package}{os.sep}"
        self.found: dict[str, None] = {}

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event of the interpreter."""
        if event.startswith(_WORK):
            self.blame(f"{event} {arguments[:1]!r}")

    def blame(self, said: str) -> None:
        """Note the innermost line of the package, unless an import stands between it and the deed."""
        frame = sys._getframe(1)
        while frame is not None:
            place = frame.f_code.co_filename
            if place.startswith(self.package):
                self.found[f"{place}:{frame.f_lineno}: {said}"] = None
                return
            if "importlib._bootstrap" in place:
                return
            frame = frame.f_back  # type: ignore[assignment]

    def trap_threads(self) -> None:
        """Hear every start of a thread, which not every Python audits."""
        kind: Any = threading.Thread
        start = kind.start

        def trapped_start(thread: threading.Thread) -> None:
            self.blame(f"starts a thread: {thread.name}")
            start(thread)

        kind.start = trapped_start

    def trap_environment(self) -> None:
        """Hear every read of ``os.environ``."""
        kind: Any = type(os.environ)
        read, walk = kind.__getitem__, kind.__iter__

        def trapped_read(environ: Any, key: str) -> str:
            self.blame(f"reads the environment: {key}")
            return read(environ, key)  # type: ignore[no-any-return]

        def trapped_walk(environ: Any) -> Iterator[str]:
            self.blame("reads the whole environment")
            return walk(environ)  # type: ignore[no-any-return]

        kind.__getitem__, kind.__iter__ = trapped_read, trapped_walk


def main(above: str, name: str) -> int:
    """Import all modules of a package; print what was heard, and return 1 if anything was."""
    package = Path(above, name)
    sys.path.insert(0, above)
    files = sorted(path.relative_to(above).with_suffix("") for path in package.rglob("*.py"))
    probe = Probe(package)
    probe.trap_environment()
    probe.trap_threads()
    sys.addaudithook(probe.hear)
    threads = threading.active_count()
    for file in files:
        if file.name != "__main__":
            importlib.import_module(".".join(file.parent.parts if file.name == "__init__" else file.parts))
    if threading.active_count() != threads:
        probe.found[f"threads are left: {threading.enumerate()}"] = None
    print(f"{len(files)} modules of {name} imported")
    print(*probe.found, sep="\n")
    return 1 if probe.found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
