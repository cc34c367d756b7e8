"""An absent server is never passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import jaeger_ways, plugin
from tests.servers.jaeger import Jaeger, NoJaeger
from tests.servers.plugin import Servers


def test_in_ci_an_absent_server_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="jaeger: absent: no way"):
        Servers().refuse("jaeger", "no way")


@pytest.mark.parametrize("ci", ["", "false", "0"])
def test_elsewhere_it_is_skipped_and_told(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    servers = Servers()
    with pytest.raises(pytest.skip.Exception, match="jaeger: absent: no way"):
        servers.refuse("jaeger", "no way")
    assert servers.lines() == ["jaeger: absent: no way"]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("native process", "jaeger: native process (2.13.0)"),
        ("endpoint given", "jaeger: endpoint given"),
    ],
)
def test_the_line_says_how_jaeger_was_had(monkeypatch: pytest.MonkeyPatch, how: str, line: str) -> None:
    stopped: list[bool] = []
    one = Jaeger("otlp", "grpc", "query", how, stop=lambda: stopped.append(True))
    monkeypatch.setattr(plugin, "find_jaeger", lambda: one)
    servers = Servers()
    assert servers.lines() == []
    assert servers.jaeger() is servers.jaeger() is one
    assert servers.lines() == [line]
    servers.stop()
    assert stopped == [True]


def test_an_absent_jaeger_is_looked_for_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([NoJaeger("no way")])
    monkeypatch.setattr(plugin, "find_jaeger", lambda: next(answers))
    servers = Servers()
    assert servers.jaeger() is servers.jaeger()


def test_nothing_is_built_where_jaeger_can_be_had_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jaeger_ways, "build", lambda name, say: pytest.fail("it was built"))
    monkeypatch.setattr(jaeger_ways, "cached", lambda name: tmp_path / "jaeger")
    monkeypatch.delenv("OW_TEST_JAEGER", raising=False)
    assert jaeger_ways.ensure(print) == f"already built, {tmp_path / 'jaeger'}"
    monkeypatch.setenv("OW_TEST_JAEGER", "a,b")
    assert jaeger_ways.ensure(print) == "OW_TEST_JAEGER is given"
