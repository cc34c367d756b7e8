"""Build a server's binary from its Go module, once, into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.servers.file_lock import held
from tests.servers.recipes import RECIPES, Recipe
from tests.servers.unavailable import Unavailable

Say = Callable[[str], None]

# Go prints nothing while it links, so this is about how often a line appears, not exactly.
_SECONDS_BETWEEN_LINES = 30
_LINES_KEPT_FOR_AN_ERROR = 15


def cache() -> Path:
    """The folder of built binaries, outside the tree so that every checkout shares it."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "otel-workflow" / "servers"


def place(recipe: Recipe) -> Path:
    """Where the binary of this recipe lies, or would lie."""
    return cache() / f"{recipe.name}-{recipe.version}-{recipe.fingerprint}" / recipe.name


def cached(name: str) -> Path | None:
    """The binary if it has been built from the present go.sum, else None."""
    binary = place(RECIPES[name])
    return binary if binary.is_file() else None


def built(name: str) -> Path:
    """The binary that has been built before; Unavailable, with the command, if none has."""
    binary = cached(name)
    if binary is None:
        version = RECIPES[name].version
        raise Unavailable(f"{name} {version} is not built; run `python -m tests.servers build {name}`")
    return binary


def build(name: str, say: Say) -> Path:
    """Return the binary, building it first if need be; `say` is told what takes so long.

    One build at a time on this machine: two at once would only fight for the
    processors, and the second most likely wants what the first makes.
    """
    recipe = RECIPES[name]
    if found := cached(name):
        say(f"{name} {recipe.version}: already built, {found}")
        return found
    go = shutil.which("go")
    if go is None:
        raise Unavailable(f"{name} {recipe.version} is not built and `go` is not on PATH")
    maker = build(recipe.generated_by, say) if recipe.generated_by else None
    with held(cache() / "build.lock", lambda: say(f"{name}: waiting for another build to end")):
        return cached(name) or _build(recipe, go, maker, say)


def _build(recipe: Recipe, go: str, maker: Path | None, say: Say) -> Path:
    binary = place(recipe)
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_name(f"{binary.name}.{os.getpid()}.unfinished")
    began = time.monotonic()
    say(f"{recipe.name} {recipe.version}: building, {recipe.minutes} from empty caches")
    try:
        with tempfile.TemporaryDirectory(prefix="ow-build-") as scratch:
            source = _sources(recipe, maker, Path(scratch)) if maker else recipe.module
            _compile(recipe, go, source, unfinished, say)
        # The rename is what makes the binary exist: nobody ever sees half of one.
        unfinished.replace(binary)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"{recipe.name} {recipe.version}: built in {time.monotonic() - began:.0f} s, {binary}")
    return binary


def _sources(recipe: Recipe, maker: Path, scratch: Path) -> Path:
    """Let the Collector's builder write its Go files, then put our locked module beside them."""
    command = [str(maker), "--config", str(recipe.module / "builder.yaml")]
    # Versions come from our go.mod; the builder must neither resolve nor compile.
    command += ["--skip-get-modules", "--skip-compilation", "--skip-strict-versioning"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}")
    for lock in ("go.mod", "go.sum"):
        shutil.copy(recipe.module / lock, scratch / "generated" / lock)
    return scratch / "generated"


def _compile(recipe: Recipe, go: str, source: Path, target: Path, say: Say) -> None:
    command = [go, "build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", "-s -w", "-o", str(target), recipe.package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    last: deque[str] = deque(maxlen=_LINES_KEPT_FOR_AN_ERROR)
    downloaded = compiled = 0
    began = told = time.monotonic()
    with subprocess.Popen(command, cwd=source, env=environment, text=True, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        for line in running.stderr:
            last.append(line)
            if line.startswith("go: downloading"):
                downloaded += 1
            else:
                compiled += 1
            if time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                counts = f"{downloaded} modules fetched, {compiled} packages compiled"
                say(f"{recipe.name}: {told - began:.0f} s, {counts}")
    if running.returncode:
        raise Unavailable(
            f"building {recipe.name} {recipe.version} in {source} failed; the end of what go said:\n{''.join(last)}"
        )
