"""A project's own file sets what is harmless, and nothing a stranger's pull request could gain by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otel_workflow.cli.project import project_table, read_settings
from otel_workflow.errors import ConfigError
from otel_workflow.settings import SETTINGS
from tests.cli.conftest import Cli


def write(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pyproject.toml").write_text(text)
    return directory


def test_the_nearest_file_upwards_is_read_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, "[tool.otel-workflow]\ndeadline = 1")
    inner = write(tmp_path / "a", "[tool.otel-workflow]\nrun-ttl = 60\njob = 'provider'\ndisabled = false")
    (inner / "b" / "c").mkdir(parents=True)
    assert {"run-ttl": 60, "job": "provider", "disabled": False} == project_table(inner / "b" / "c")
    write(inner / "b", "[project]\nname = 'other'")
    assert {} == project_table(inner / "b" / "c")


def test_above_the_repository_nothing_is_read(tmp_path: Path) -> None:
    write(tmp_path, "[tool.otel-workflow]\ndeadline = 1")
    (tmp_path / "repository" / "src").mkdir(parents=True)
    assert {"deadline": 1} == project_table(tmp_path / "repository" / "src")
    (tmp_path / "repository" / ".git").touch()  # a file, as in a work tree
    assert {} == project_table(tmp_path / "repository" / "src")


def test_flag_and_environment_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, "[tool.otel-workflow]\ndeadline = 1\nrun_ttl = 2\njournal-max = '1MiB'"))
    read = read_settings({"OW_RUN_TTL": "3"}, {"deadline": 4.0})
    assert (4.0, 3.0, 1 << 20) == (read.deadline, read.run_ttl, read.journal_max)
    assert ("argument", "OW_RUN_TTL", "[tool.otel-workflow]") == tuple(
        read.origins[name] for name in ("deadline", "run_ttl", "journal_max")
    )


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if not setting.in_project])
def test_it_may_set_neither_paths_nor_addresses(name: str, ow: Cli) -> None:
    write(ow.home, f"[tool.otel-workflow]\n{name} = 'https://evil/{{trace_id}}'")
    done = ow("ship")
    assert 2 == done.returncode
    assert f"otel-workflow: OW-101: [tool.otel-workflow] may not set {name} (set OW_{name.upper()} or" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.otel-workflow", "is not TOML"),
        ("a = '\udcff'", "is not TOML"),
        ("a = " + "[" * 20_000, "is not TOML"),
        ("tool.otel-workflow = 3", "is not a table"),
        ("[tool.otel-workflow]\nnonsense = 1", "nonsense is not a setting"),
        ("[tool.otel-workflow]\ndeadline = [1]", "deadline='[1]' is not a number of seconds"),
        ("#" * (1 << 20) + "\n", "is larger than 1 MiB"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str, said: str, ow: Cli) -> None:
    (ow.home / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    done = ow("ship")
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    assert done.stderr.startswith("otel-workflow: OW-101: ")
    assert said in done.stderr


@pytest.mark.parametrize("text", ["", "tool = 3", "[project]\nname = 'x'", "[tool.ruff]"])
def test_a_file_that_does_not_speak_of_us_sets_nothing(text: str, tmp_path: Path) -> None:
    assert {} == project_table(write(tmp_path, text))


def test_a_pipe_by_that_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pyproject.toml")
    assert {} == project_table(tmp_path)


def test_doctor_says_what_the_file_sets(ow: Cli) -> None:
    write(ow.home, "[tool.otel-workflow]\nrun-ttl = 60")
    assert "from [tool.otel-workflow]: run_ttl=60.0" in ow("doctor", OW_JOURNAL_SYNC="never").stdout


def test_a_command_that_wants_a_setting_of_the_file_takes_it(ow: Cli) -> None:
    """The bridge takes them too: a wrong one is named before anything is opened."""
    write(ow.home, "[tool.otel-workflow]\nbirth-hold = 'x'")
    done = ow("bridge")
    assert (2, "") == (done.returncode, done.stdout)
    assert "OW-101: [tool.otel-workflow] birth_hold='x' is not a number of seconds" in done.stderr


def test_the_library_never_reads_it(ow: Cli) -> None:
    write(ow.home, "[tool.otel-workflow]\ndisabled = true\nnonsense = 1")
    ow.record()
    assert "nightly" in ow("runs").stdout


def test_a_file_that_was_found_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "pyproject.toml")):
        project_table(write(tmp_path, "["))
