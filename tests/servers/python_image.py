"""A base image with this machine's own Python and what our package needs of others, without a registry.

It stands for ``python:3.13-slim`` where that cannot be pulled: an interpreter with pip in
``/usr/local``, a shell and ``install``, and the shared libraries they are linked to.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import IO

import docker
from docker.errors import ImageNotFound
from packaging.requirements import Requirement

from tests.servers.unavailable import Unavailable

NAME = "otel-workflow-tests/python"
_LIBRARY = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {
    "test",
    "tests",
    "site-packages",
    "dist-packages",
    "idlelib",
    "ensurepip",
    "__pycache__",
    "EXTERNALLY-MANAGED",
}
_PROGRAMS = ("sh", "install")
_PIP = "#!/usr/local/bin/python\nfrom pip._internal.cli.main import main\n\nraise SystemExit(main())\n"
_ENVIRONMENT = (
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    "ENV LD_LIBRARY_PATH=/usr/local/lib",
    "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_ROOT_USER_ACTION=ignore",
)


def build_base(client: docker.DockerClient, wheel: Path) -> str:
    """Make the image with ``wheel`` in ``/wheels``, where its pip looks; return the image's name."""
    said = [
        Path(__file__).read_text(),
        sys.version,
        *sorted(f"{each.name} {each.version}" for each in _distributions()),
    ]
    content = hashlib.sha256("\n".join(said).encode() + wheel.read_bytes()).hexdigest()[:12]
    try:
        client.images.get(f"{NAME}:{content}")
    except ImageNotFound:
        with tempfile.NamedTemporaryFile() as packed:
            _pack(packed, wheel)
            packed.flush()
            client.api.import_image_from_file(packed.name, NAME, content, list(_ENVIRONMENT))
    return f"{NAME}:{content}"


def build_wheel(project: Path, folder: Path) -> Path:
    """Build our own wheel into ``folder``."""
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(project)]
    try:
        distribution("hatchling")
    except PackageNotFoundError:
        isolated: list[str] = []
    else:
        isolated = ["--no-build-isolation"]
    done = subprocess.run([*words, *isolated], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Unavailable(f"our wheel cannot be built: {done.stderr[-400:]}")
    [wheel] = folder.glob("otel_workflow-*.whl")
    return wheel


def _pack(packed: IO[bytes], wheel: Path) -> None:
    files = dict(_files())
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for place, path in sorted(files.items()):
            archive.add(path, place, recursive=False)
        for library in _libraries(files.values()):
            name = Path(library).name
            place = f"usr/local/lib/{name}" if name.startswith("libpython") else library.lstrip("/")
            archive.add(library, place, recursive=False)
        archive.add(wheel, f"wheels/{wheel.name}", recursive=False)
        for place, text in (("usr/local/bin/pip", _PIP), ("etc/passwd", "root:x:0:0::/:/bin/sh\n")):
            entry = tarfile.TarInfo(place)
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text.encode()))
        tmp = tarfile.TarInfo("tmp")
        tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(tmp)


def _files() -> Iterator[tuple[str, Path]]:
    """Yield where each file stands in the image, and where it is here."""
    interpreter = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", "python3", f"python{version}"):
        yield f"usr/local/bin/{name}", interpreter
    for program in _PROGRAMS:
        found = shutil.which(program)
        if found is None:
            raise Unavailable(f"there is no {program} to put into the image")
        yield f"bin/{program}", Path(found).resolve()
    standard = Path(sysconfig.get_path("stdlib"))
    for directory, names, files in os.walk(standard):
        names[:] = [name for name in names if name not in _LEFT_OUT and not name.startswith("config-")]
        for name in files:
            if name not in _LEFT_OUT and not name.startswith("_tkinter"):  # it would want half a desktop
                path = Path(directory, name)
                yield f"{_LIBRARY}/{path.relative_to(standard)}", path
    for each in _distributions():
        for file in each.files or ():
            path = Path(str(each.locate_file(file)))
            if ".." not in file.parts and file.suffix != ".pyc" and path.is_file():
                yield f"{_LIBRARY}/site-packages/{file}", path


def _distributions() -> list[Distribution]:
    """What otel-workflow needs, with what that needs, and pip."""
    found: dict[str, Distribution] = {}
    wanted = ["pip", *_needs(distribution("otel-workflow"))]
    while wanted:
        name = wanted.pop()
        if re.sub(r"[-_.]+", "-", name).lower() not in found:
            each = distribution(name)
            found[re.sub(r"[-_.]+", "-", name).lower()] = each
            wanted += _needs(each)
    return list(found.values())


def _needs(each: Distribution) -> list[str]:
    wanted = [Requirement(text) for text in each.requires or ()]
    return [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]


def _libraries(files: Iterable[Path]) -> set[str]:
    """The shared libraries that any of the files is linked to, and the loader."""
    binary = [str(path) for path in files if path.suffix == ".so" or ".so." in path.name or path.parent.name == "bin"]
    said = subprocess.run(
        ["ldd", *sorted(set(binary))], capture_output=True, text=True, timeout=120, check=False
    ).stdout
    return set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE))
