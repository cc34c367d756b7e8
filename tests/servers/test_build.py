"""Building: from the locked module, once, one at a time, and never half done.

A stand-in for `go` keeps these quick; the real one is run by `make servers`.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.servers.build import build, cached, place
from tests.servers.recipes import RECIPES, Recipe
from tests.servers.unavailable import Unavailable

GO = """#!/bin/sh
echo "$PWD $CGO_ENABLED $*" >>"$FAKE_GO_LOG"
echo "go: downloading example v1" >&2
[ -z "$FAKE_GO_FAILS" ] || { echo "missing go.sum entry" >&2; exit 1; }
while [ "$1" != -o ]; do shift; done
sleep 0.2
echo binary >"$2"
"""


@pytest.fixture
def go_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and a `go` that only writes down how it was called."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    log = tmp_path / "go.log"
    monkeypatch.setenv("PATH", str(go.parent), prepend=":")
    monkeypatch.setenv("FAKE_GO_LOG", str(log))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return log


def test_it_builds_from_the_lock_and_only_once(go_log: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    assert cached("jaeger") is None
    binary = build("jaeger", lines.append)
    assert binary == cached("jaeger") == build("jaeger", lines.append)
    assert binary.read_text() == "binary\n"
    assert binary.is_relative_to(tmp_path / "cache" / "otel-workflow" / "servers")
    (call,) = go_log.read_text().splitlines()
    assert call.startswith(f"{RECIPES['jaeger'].module} 0 build -v -mod=readonly -trimpath")
    assert call.endswith(RECIPES["jaeger"].package)
    assert [line.split(": ")[1].split()[0] for line in lines] == ["building,", "built", "already"]


def test_two_at_once_build_once(go_log: Path) -> None:
    lines: list[str] = []
    both = [threading.Thread(target=build, args=("jaeger", lines.append)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(go_log.read_text().splitlines()) == 1
    assert "jaeger: waiting for another build to end" in lines


def test_a_failed_build_leaves_nothing_and_tells_why(go_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(Unavailable, match=r"building jaeger .* failed(.|\n)*missing go.sum entry"):
        build("jaeger", lambda line: None)
    assert list(place(RECIPES["jaeger"]).parent.iterdir()) == []


def test_without_go_the_reason_names_it(go_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match=r"jaeger 2\.13\.0 is not built and `go` is not on PATH"):
        build("jaeger", lambda line: None)


def test_a_changed_go_sum_builds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.recipes.MODULES", tmp_path)
    recipe = Recipe("thing", "1", "example", "no time")
    recipe.module.mkdir()
    lock = recipe.module / "go.sum"
    lock.write_text("one")
    before = recipe.fingerprint
    lock.write_text("another")
    assert recipe.fingerprint != before
    lock.write_text("one")
    assert recipe.fingerprint == before
