"""Every row parses; a wrong value names the variable, the value and the remedy."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from otel_workflow.errors import ConfigError
from otel_workflow.settings import SETTINGS, Settings

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
URL = "https://jaeger/trace/{trace_id}"
GOOD: dict[str, list[tuple[str, Any]]] = {
    "journal": [("/somewhere", "/somewhere")],
    "journal_max": [("512MiB", 512 * 1024**2), ("1.5 GiB", 1536 * 1024**2), ("1000", 1000), ("2kB", 2000), ("7b", 7)],
    "journal_sync": [("interval", "interval"), ("always", "always"), (" never ", "never")],
    "deadline": [("0", 0.0), ("2.5", 2.5)],
    "ids": [("githubreceiver", "githubreceiver")],
    "job": [("self", "self"), ("provider", "provider")],
    "check_run_id": [("12345678901", "12345678901")],
    "parent": [("auto", "auto"), ("link", "link"), ("none", "none"), (PARENT, PARENT)],
    "workflow": [("nightly build", "nightly build")],
    "trace_url": [(URL, URL)],
    "pytest": [("tests", "tests"), ("phases", "phases")],
    "run_ttl": [("3600", 3600.0)],
    "birth_hold": [("30", 30.0)],
    "heartbeat": [("10", 10.0), ("0", 0.0)],
    "tls_cert": [("/c.pem", "/c.pem")],
    "tls_key": [("/k.pem", "/k.pem")],
    "tls_client_ca": [("/a.pem", "/a.pem")],
    "disabled": [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("off", False), ("no", False)],
}
BAD: dict[str, list[str]] = {
    "journal_max": ["lots", "-1", "0", "5 XB", "1 2", "1e999", "."],
    "journal_sync": ["sometimes", "INTERVAL"],
    "deadline": ["soon", "-1", "nan", "inf"],
    "job": ["both"],
    "check_run_id": ["abc", "-1", "1.0"],
    "parent": ["yes", PARENT.upper(), PARENT[:-1]],
    "trace_url": ["jaeger", "https://jaeger/trace/", "file:///{trace_id}"],
    "pytest": ["1"],
    "run_ttl": ["", "x"][1:],
    "birth_hold": ["x"],
    "heartbeat": ["often", "-1"],
    "disabled": ["maybe"],
}
FREE_TEXT = {"journal", "ids", "workflow", "tls_cert", "tls_key", "tls_client_ca"}


def test_every_row_is_tried_here() -> None:
    names = {setting.name for setting in SETTINGS}
    assert (names, names - FREE_TEXT) == (set(GOOD), set(BAD))


@pytest.mark.parametrize(("name", "text", "value"), [(name, *pair) for name, pairs in GOOD.items() for pair in pairs])
def test_a_good_value_is_read_from_the_environment_and_as_an_argument(name: str, text: str, value: Any) -> None:
    env = f"OW_{name.upper()}"
    read = Settings.read({env: text})
    assert (value, env) == (getattr(read, name), read.origins[name])
    read = Settings.read({env: "overruled"}, {name: text})
    assert (value, "argument") == (getattr(read, name), read.origins[name])


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_wrong_value_names_the_variable_the_value_and_the_remedy(name: str, text: str) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    with pytest.raises(ConfigError) as caught:
        Settings.read({setting.env: text})
    said = f"OW-101: {setting.env}={text!r} is not {setting.expects} (give {setting.expects})"
    assert (said, "OW-101") == (str(caught.value), caught.value.code)
    with pytest.raises(ConfigError, match=f"^OW-101: {name}="):
        Settings.read({}, {name: text})


def test_nothing_given_gives_the_defaults() -> None:
    read = Settings.read({})
    assert {setting.name: setting.default for setting in SETTINGS} == dict(read.values)
    assert {"default"} == set(read.origins.values())
    assert (512 * 1024**2, "interval", 86_400.0, False) == (
        read.journal_max,
        read.journal_sync,
        read.run_ttl,
        read.disabled,
    )


def test_an_empty_variable_counts_as_unset_and_no_argument_as_none() -> None:
    read = Settings.read({"OW_JOB": " ", "OW_DEADLINE": ""}, {"job": None, "trace_url": ""})
    assert ("self", None, "") == (read.job, read.deadline, read.trace_url)


@pytest.mark.parametrize(
    ("arguments", "value"), [({"deadline": 2}, 2.0), ({"journal": Path("/x")}, "/x"), ({"disabled": True}, True)]
)
def test_arguments_may_come_as_what_they_are(arguments: dict[str, Any], value: Any) -> None:
    [name] = arguments
    assert value == getattr(Settings.read({}, arguments), name)


@pytest.mark.parametrize("deadline", [-1, float("nan"), float("inf")])
def test_an_argument_is_judged_like_a_variable(deadline: float) -> None:
    with pytest.raises(ConfigError, match=r"^OW-101: deadline="):
        Settings.read({}, {"deadline": deadline})


def test_the_projects_file_comes_last_and_may_set_neither_paths_nor_addresses() -> None:
    table = {"job": "provider", "run-ttl": 60, "journal_sync": "never"}
    read = Settings.read({"OW_JOURNAL_SYNC": "always"}, {}, table)
    assert ("provider", 60.0, "always") == (read.job, read.run_ttl, read.journal_sync)
    assert "[tool.otel-workflow]" == read.origins["job"]
    for name, remedy in (("journal", "set OW_JOURNAL"), ("trace-url", "set OW_TRACE_URL"), ("nonsense", "one of ")):
        with pytest.raises(ConfigError) as caught:
            Settings.read({}, {}, {name: "https://evil/{trace_id}"})
        assert remedy in caught.value.hint
    with pytest.raises(ConfigError, match=r"^OW-101: \[tool.otel-workflow\] job='both' is not self or provider"):
        Settings.read({}, {}, {"job": "both"})


def test_every_variable_is_spelled_after_its_setting_and_none_is_opentelemetrys() -> None:
    assert [f"OW_{setting.name.upper()}" for setting in SETTINGS] == [setting.env for setting in SETTINGS]


def test_settings_can_be_copied_and_an_unknown_name_is_an_attribute_error() -> None:
    read = Settings.read({"OW_JOB": "provider"})
    assert read == copy.deepcopy(read) == pickle.loads(pickle.dumps(read))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = read.nonsense
    with pytest.raises(AttributeError):
        _ = Settings.__new__(Settings).job
