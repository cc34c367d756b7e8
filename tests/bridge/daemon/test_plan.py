"""What a daemon is to do is checked before anything is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_workflow.bridge.daemon.addresses import Address, is_own, parse_listen, parse_place
from otel_workflow.bridge.daemon.plan import Plan, instance_of, read_token
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.metrics.pushing import metrics_destination, push_interval
from otel_workflow.errors import ConfigError

SOMEWHERE = Destination("http://collector.example:4318/v1/traces")
LOOPBACK = parse_listen("http://127.0.0.1:4318")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:4318", Address("http", "127.0.0.1", 4318)),
        ("http://localhost:0/", Address("http", "localhost", 0)),
        ("grpc://[::1]:4317", Address("grpc", "::1", 4317)),
        ("https://localhost:4318", Address("https", "localhost", 4318)),
        ("grpcs://[::1]:4317", Address("grpcs", "::1", 4317)),
    ],
)
def test_an_address_is_read(text: str, expected: Address) -> None:
    assert expected == parse_listen(text)
    assert text.rstrip("/") == str(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4318",
        "127.0.0.1:4318",
        "https://x",
        "http://x",
        "http://x:port",
        "http://x:99999",
        "http://x:1/p",
        "http://u@x:1",
        "httpss://x:1",
        "grpcs://",
    ],
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_listen(text)
    assert "OW-151" == refused.value.code
    assert repr(text) in str(refused.value)


def test_the_pages_address_names_its_flag() -> None:
    with pytest.raises(ConfigError, match="--metrics='9464'"):
        parse_place("--metrics", "9464")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_loopback_a_token_is_wanted(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Plan(state=tmp_path, listen=(Address("grpc", host, 4317),))
    assert "OW-152" == refused.value.code
    assert Plan(state=tmp_path, listen=(Address("grpc", host, 4317),), token=b"t" * 20)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_loopback_none_is_wanted(tmp_path: Path, host: str) -> None:
    assert Plan(state=tmp_path, listen=(Address("http", host, 4318),))


@pytest.mark.parametrize(
    "wishes",
    [
        {"push": SOMEWHERE, "metrics": LOOPBACK},
        {"forward": True, "listen": (LOOPBACK,)},
        {"forward": True, "destination": SOMEWHERE},
    ],
)
def test_outputs_that_make_no_sense_are_refused(tmp_path: Path, wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        Plan(state=tmp_path, **wishes)
    assert "OW-153" == refused.value.code


def test_a_plan_does_not_show_its_token(tmp_path: Path) -> None:
    assert "secret" not in repr(Plan(state=tmp_path, token=b"a-secret-that-is-long"))


@pytest.mark.parametrize("content", [b"", b"short", b"with a space in the middle of it", b"\xff" * 20])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_token(tmp_path / "token")
    assert "OW-155" == refused.value.code


def test_a_token_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"0123456789abcdef\n")
    assert b"0123456789abcdef" == read_token(tmp_path / "token")
    with pytest.raises(ConfigError, match="OW-155"):
        read_token(tmp_path / "missing")


def test_a_state_directory_has_one_name_for_ever(tmp_path: Path) -> None:
    first = instance_of(tmp_path / "state")
    assert (first, 16) == (instance_of(tmp_path / "state"), len(first))
    assert first != instance_of(tmp_path / "other")


@pytest.mark.parametrize(
    ("url", "host", "own"),
    [
        ("http://localhost:4318/v1/traces", "127.0.0.1", True),
        ("http://127.0.0.1:4318", "0.0.0.0", True),
        ("http://[::ffff:127.0.0.1]:4318", "127.0.0.1", True),
        ("http://127.0.0.1:4319", "127.0.0.1", False),
        ("http://192.0.2.7:4318", "0.0.0.0", False),
        ("http://nowhere.invalid:4318", "127.0.0.1", False),
    ],
)
def test_a_destination_is_recognised_as_our_own_by_its_addresses(url: str, host: str, own: bool) -> None:
    assert own == is_own(url, [Address("http", host, 4318)])


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/base"}, "http://c:1/base/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:2/own"}, "http://m:2/own"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:3"},
            "http://c:1/v1/metrics",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:3"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_TRACES_EXPORTER": "none"}, "http://c:1/v1/metrics"),
    ],
)
def test_metrics_go_where_the_standard_variables_say(environ: dict[str, str], url: str | None) -> None:
    found = metrics_destination(environ)
    assert url == (found.url if found is not None else None)


def test_a_wrong_variable_is_named_as_the_user_wrote_it() -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        metrics_destination({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "nonsense"})


@pytest.mark.parametrize(("text", "seconds"), [("", 60.0), ("500", 0.5)])
def test_the_interval_is_in_milliseconds(text: str, seconds: float) -> None:
    assert seconds == push_interval({"OTEL_METRIC_EXPORT_INTERVAL": text})


@pytest.mark.parametrize("text", ["0", "-1", "1s"])
def test_a_wrong_interval_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="OW-113"):
        push_interval({"OTEL_METRIC_EXPORT_INTERVAL": text})
