"""The unit and the container start the command with flags that it has, and end it as it wants to be ended."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.cli import bridging
from otel_workflow.cli.app import _command

RECIPES = Path(__file__).parents[2] / "collectors" / "bridge"
UNIT = RECIPES / "otel-workflow-bridge.service"


class Unit(RawConfigParser):
    """A unit file, in which a key may come again."""

    def __init__(self) -> None:
        super().__init__(strict=False, interpolation=None)
        self.read(UNIT)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def planned(words: list[str], environ: dict[str, str]) -> Plan:
    """What the command line would do."""
    assert "bridge" == words[0]
    command: Any = _command().commands["bridge"]
    with command.make_context("bridge", words[1:]) as context:
        given = dict(context.params)
    wishes = bridging.Wishes(
        journals=tuple(given["journal"] or ()),
        listen=tuple(given["listen"] or ()),
        **{name: given for name, given in given.items() if name not in ("journal", "listen")},
    )
    return bridging.plan_of(wishes, environ)


def test_the_units_command_line_is_one_that_the_command_takes() -> None:
    service = Unit()["Service"]
    program, *words = shlex.split(service["ExecStart"].replace("${STATE_DIRECTORY}", "/var/lib/otel-workflow-bridge"))
    plan = planned(words, {})
    assert program.endswith("/otel-workflow")
    assert ["http://127.0.0.1:4318", "grpc://127.0.0.1:4317"] == [str(address) for address in plan.listen]
    assert Path("/var/lib", service["StateDirectory"]) == plan.state


def test_the_readmes_command_line_is_one_that_the_command_takes_beside_its_own_endpoint() -> None:
    """One that listens where it sends to does not start, and the page has named the endpoint already."""
    page = (Path(__file__).parents[2] / "README.md").read_text()
    [line] = re.findall(r"^otel-workflow (bridge .*)$", page, re.MULTILINE)
    [endpoint] = re.findall(r"^export OTEL_EXPORTER_OTLP_ENDPOINT=(.*)$", page, re.MULTILINE)
    plan = planned(shlex.split(line), {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "HOME": "/nowhere"})
    assert plan.metrics is not None
    plan.check_loop([*plan.listen, plan.metrics])


def test_the_unit_gives_the_daemon_time_to_drain_and_starts_it_again() -> None:
    service = Unit()["Service"]
    assert ("SIGTERM", "always", "yes") == (service["KillSignal"], service["Restart"], service["DynamicUser"])
    assert int(service["TimeoutStopSec"]) > bridging._DEADLINE
    assert (str(bridging._BACKLOG), "2") == (service["SuccessExitStatus"], service["RestartPreventExitStatus"])


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    copy = tmp_path / UNIT.name
    copy.write_text(
        UNIT.read_text().replace("/opt/otel-workflow/bin/otel-workflow", f"{sys.executable} -m otel_workflow")
    )
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
    if "Failed to initialize manager" in done.stderr:
        pytest.skip("systemd-analyze cannot work here")
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (0, []) == (done.returncode, said)


def test_the_containers_command_line_is_one_that_the_command_takes() -> None:
    text = (RECIPES / "Dockerfile").read_text()
    found = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    plan = planned(json.loads(found[-1]), {})
    assert (Path("/state"), (Path("/journal"),)) == (plan.state, tuple(plan.journals))
    assert plan.metrics is not None
    assert f"('127.0.0.1', {plan.metrics.port}, timeout=2); c.request('GET', '/healthz')" in text
    assert f"EXPOSE {plan.metrics.port}" in text
    [uid] = re.findall(r"^ARG UID=(\d+)$", text, re.MULTILINE)
    assert int(uid) > 0
    assert "\nUSER ${UID}:${UID}\n" in text


def test_the_line_that_the_container_suggests_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 20)
    suggested = re.search(r"# To take OTLP from elsewhere, add: (.*)", (RECIPES / "Dockerfile").read_text())
    assert suggested
    words = suggested[1].replace("/run/secrets/otel-workflow-token", str(tmp_path / "token")).split()
    assert planned(["bridge", "--state", "/state", "--journal", "/journal", *words], {}).token


def test_the_recipes_are_part_of_what_is_installed() -> None:
    project = (RECIPES.parents[1] / "pyproject.toml").read_text()
    assert '"collectors" = "otel_workflow/_deploy/collectors"' in project
