"""Without a Python 3.13 the tests say so; a name that is only a shim is no Python."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conformance import environment, python313
from tests.conformance.running import REASONS, environment_or_skip


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All there is on this machine: a ``python3.13`` that refuses."""
    made = tmp_path / "python3.13"
    made.write_text("#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n", encoding="utf-8")
    made.chmod(0o755)
    monkeypatch.setattr(python313, "_candidates", lambda: iter([made, tmp_path / "gone"]))
    monkeypatch.setattr(environment, "python313", python313.python313.__wrapped__)
    return made


def test_a_shim_is_no_python(shim: Path) -> None:
    with pytest.raises(python313.NoPython313, match=r"no Python 3\.13 on this machine \(tried .*python3\.13.*install"):
        python313.python313.__wrapped__()


@pytest.mark.parametrize("ci", ["", "true"])
def test_without_python_313_tests_are_skipped_with_the_reason(
    ci: str, shim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in CI: a machine that really has none cannot be blamed."""
    monkeypatch.setenv("CI", ci)
    config: Any = SimpleNamespace(stash=pytest.Stash())
    with pytest.raises(pytest.skip.Exception, match=r"no Python 3\.13"):
        environment_or_skip(config)
    assert 1 == len(config.stash[REASONS])


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_an_environment_that_cannot_be_built_fails_in_ci_only(
    ci: str,
    outcome: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a network, for example."""
    broken = tmp_path / "python"
    broken.write_text(
        '#!/bin/sh\ncase "$1" in -c) echo 3 13;; *) echo no network >&2; exit 1;; esac\n', encoding="utf-8"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(environment, "python313", lambda: broken)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    config: Any = SimpleNamespace(stash=pytest.Stash())
    with pytest.raises(outcome, match="no network"):
        environment_or_skip(config)


def test_this_python_is_taken_if_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python313, "_ASK", f"print(3, {13 if sys.version_info >= (3, 11) else 0})")
    assert Path(sys.executable) == python313.python313.__wrapped__()
