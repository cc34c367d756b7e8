"""The journal lies where FACE §6 says, in this order, and never where somebody else could reach."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_workflow.journal import place as placing
from otel_workflow.journal.place import candidates, find_place, is_remote, project_root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my project"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    return root


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, str]:
    """An environment in which each place is named and can be used."""
    given = {
        "OW_JOURNAL": tmp_path / "1-given",
        "RUNNER_TEMP": tmp_path / "2-runner",
        "CI_PROJECT_DIR": tmp_path / "3-gitlab",
        "XDG_STATE_HOME": tmp_path / "4-state",
        "HOME": tmp_path / "4-home",
        "XDG_RUNTIME_DIR": tmp_path / "5-runtime",
        "TMPDIR": tmp_path / "6-tmp",
    }
    for path in given.values():
        path.mkdir()
    return {name: str(path) for name, path in given.items()}


def name_of(project: Path) -> str:
    return placing._name_of(project)


def test_the_places_come_in_order_and_each_next_one_when_the_one_before_is_not_named(
    project: Path, everything: dict[str, str], tmp_path: Path
) -> None:
    name = name_of(project)
    wanted = [
        ("OW_JOURNAL", tmp_path / "1-given"),
        ("RUNNER_TEMP", tmp_path / "2-runner" / "otel-workflow"),
        ("CI_PROJECT_DIR", tmp_path / "3-gitlab" / ".otel-workflow"),
        ("XDG_STATE_HOME", tmp_path / "4-state" / "otel-workflow" / name),
        ("HOME", tmp_path / "4-home" / ".local" / "state" / "otel-workflow" / name),
        ("XDG_RUNTIME_DIR", tmp_path / "5-runtime" / "otel-workflow" / name),
        ("TMPDIR", tmp_path / "6-tmp" / f"otel-workflow-{os.geteuid()}" / name),
    ]
    environ = dict(everything)
    for variable, place in wanted:
        assert (place, "") == find_place(environ, project / "src" / "deep"), variable
        assert 0o700 == stat.S_IMODE(place.stat().st_mode) or variable == "OW_JOURNAL"
        environ[variable] = " " if variable == "OW_JOURNAL" else ""


def test_a_place_that_cannot_be_used_is_passed_over_and_named(
    project: Path, everything: dict[str, str], tmp_path: Path
) -> None:
    del everything["OW_JOURNAL"]
    (tmp_path / "2-runner" / "otel-workflow").write_text("")
    (tmp_path / "3-gitlab" / ".otel-workflow").symlink_to("elsewhere")
    place, passed = find_place(everything, project)
    assert tmp_path / "4-state" / "otel-workflow" / name_of(project) == place
    why = "not a directory, or a symbolic link"
    assert [f"{tmp_path}/2-runner/otel-workflow: {why}", f"{tmp_path}/3-gitlab/.otel-workflow: {why}"] == passed.split(
        "; "
    )


def test_a_given_place_that_cannot_be_used_leaves_memory_only(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for given in (tmp_path / "file", tmp_path / "file" / "below", "a\0b"):
        place, passed = find_place({"OW_JOURNAL": str(given), "HOME": str(tmp_path)}, project)
        assert (None, True) == (place, bool(passed))


def test_a_relative_place_is_counted_from_the_working_directory(project: Path) -> None:
    assert (project / "here", "") == find_place({"OW_JOURNAL": "here"}, project)


def test_a_link_given_outright_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for given in ("link", "link/"):
        assert find_place({"OW_JOURNAL": f"{tmp_path}/{given}"}, project)[0] is None


def test_the_shared_temporary_directory_is_left_alone_when_another_user_was_there_first(project: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make directories of others")
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o1777)
        environ = {"TMPDIR": base}
        mine = Path(base, "otel-workflow-4711")
        child = os.fork()
        if child == 0:
            os.setresuid(4711, 4711, 4711)
            first = find_place(environ, project)[0] is not None and mine.is_dir()
            os._exit(0 if first else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.chown(mine, 4712, 4712)
        mine.chmod(0o777)
        child = os.fork()
        if child == 0:  # who made the directory could exchange what is in it
            os.setresuid(4711, 4711, 4711)
            place, passed = find_place(environ, project)
            os._exit(0 if place is None and "belongs to another user" in passed else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_environment_that_was_stripped_finds_the_same_directory_from_anywhere_in_the_project(
    project: Path, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path)}
    found = {find_place(environ, place)[0] for place in (project, project / "src", project / "src" / "deep")}
    assert {tmp_path / ".local/state/otel-workflow" / name_of(project)} == found
    assert name_of(project).startswith("my_project-")


def test_every_project_has_a_name_of_its_own_that_any_file_system_takes(tmp_path: Path) -> None:
    odd = [Path("/"), Path("/a/x"), Path("/b/x"), Path("/" + "long" * 60), Path("/\udc80\n/ü"), Path("/..hidden")]
    made = [name_of(path) for path in odd]
    assert len(odd) == len(set(made))
    for name in made:
        (tmp_path / name).mkdir()
    assert "root-" == made[0][:5]


def test_the_project_is_the_nearest_directory_with_a_mark(project: Path) -> None:
    assert project == project_root(project / "src" / "deep")
    (project / "src" / ".git").write_text("gitdir: elsewhere")
    assert project / "src" == project_root(project / "src" / "deep")
    assert Path("/") == project_root(Path("/"))


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[str]:
    table = tmp_path / "mounts"
    table.write_text(
        "/dev/vda / ext4 rw 0 0\n"
        f"server:/home {tmp_path}/net nfs4 rw 0 0\n"
        f"tmpfs {tmp_path}/net/local tmpfs rw 0 0\n"
        f"me@there: {tmp_path}/with\\040space fuse.sshfs rw 0 0\n"
        f"share {tmp_path}/netother ext4 rw 0 0\n"
        "broken\n"
    )
    return str(table)


def test_network_and_fuse_file_systems_are_told_from_local_ones(tmp_path: Path, mounts: str) -> None:
    found = {
        name: is_remote(tmp_path / name, mounts)
        for name in ("net", "net/deep", "net/local", "net/local/deep", "with space/x", "netother", "elsewhere")
    }
    assert {
        "net": True,
        "net/deep": True,
        "net/local": False,
        "net/local/deep": False,
        "with space/x": True,
        "netother": False,
        "elsewhere": False,
    } == found
    assert not is_remote(tmp_path, str(tmp_path / "no such table"))


def test_a_state_directory_on_a_network_is_passed_over(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "is_remote", lambda path: path == tmp_path / "net")
    environ = {"XDG_STATE_HOME": f"{tmp_path}/net", "XDG_RUNTIME_DIR": f"{tmp_path}/run", "TMPDIR": str(tmp_path)}
    shared = tmp_path / f"otel-workflow-{os.geteuid()}" / name_of(project)
    assert [tmp_path / "run/otel-workflow" / name_of(project), shared] == list(candidates(environ, project))


def test_a_relative_state_directory_is_ignored_as_the_xdg_specification_asks(project: Path) -> None:
    places = list(candidates({"XDG_STATE_HOME": "state", "HOME": "/home/me"}, project))
    assert Path("/home/me/.local/state/otel-workflow") / name_of(project) == places[0]


def test_without_any_variable_the_temporary_directory_is_left(project: Path) -> None:
    assert [Path(f"/tmp/otel-workflow-{os.geteuid()}") / name_of(project)] == list(candidates({}, project))
