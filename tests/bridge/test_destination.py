"""The destination of gRPC as the standard variables say it; that of HTTP is held in test_http.py."""

from __future__ import annotations

import pytest

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.grpc import OtlpGrpcClient
from otel_workflow.bridge.http import OtlpHttpClient
from otel_workflow.errors import ConfigError


def over_grpc(**variables: str) -> Destination:
    environ = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in {"PROTOCOL": "grpc", **variables}.items()}
    destination = Destination.from_environ(environ)
    assert destination is not None
    return destination


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ENDPOINT": "http://c:4317"}, "http://c:4317"),
        ({"ENDPOINT": "https://c:4317/some/path?key=1"}, "https://c:4317"),
        ({"ENDPOINT": "http://c:4317", "INSECURE": "false"}, "http://c:4317"),
        ({"ENDPOINT": "https://c:4317", "INSECURE": "true"}, "https://c:4317"),
        ({"ENDPOINT": "c:4317"}, "https://c:4317"),
        ({"ENDPOINT": "c:4317", "INSECURE": "True"}, "http://c:4317"),
        ({"ENDPOINT": "c:4317", "INSECURE": "true", "TRACES_INSECURE": "false"}, "https://c:4317"),
        ({"ENDPOINT": "localhost", "INSECURE": "true"}, "http://localhost:4317"),
        ({"ENDPOINT": "https://c"}, "https://c:443"),
        ({"ENDPOINT": "http://[::1]"}, "http://[::1]:4317"),
        ({"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:2/v1/traces"}, "http://b:2"),
    ],
)
def test_scheme_host_and_port_are_all_that_counts(variables: dict[str, str], url: str) -> None:
    assert (url, "grpc") == (over_grpc(**variables).url, over_grpc(**variables).protocol)


@pytest.mark.parametrize("endpoint", ["grpc://c:4317", "unix:///socket", "http://", "c:port", "a b:4317"])
def test_what_is_no_address_is_an_error_that_names_the_variable(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT=") as caught:
        over_grpc(ENDPOINT=endpoint)
    assert "OW-111" == caught.value.code
    assert "4317" in caught.value.hint


def test_a_header_that_grpc_cannot_carry_is_an_error_without_the_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        over_grpc(ENDPOINT="http://c:4317", HEADERS="token=secr%C3%A4t")
    assert "OW-113" == caught.value.code
    assert "secr" not in str(caught.value)


def test_http_json_is_refused_with_both_remedies() -> None:
    with pytest.raises(ConfigError) as caught:
        over_grpc(ENDPOINT="http://c:4318", TRACES_PROTOCOL="http/json")
    assert "OW-112" == caught.value.code
    assert all(word in caught.value.hint for word in ("http/protobuf", "grpc"))


def test_the_client_is_chosen_by_protocol_and_the_key_stays_a_digest() -> None:
    grpc = over_grpc(ENDPOINT="http://c:4317", HEADERS="token=secret")
    http = over_grpc(ENDPOINT="http://c:4317", HEADERS="token=secret", PROTOCOL="http/protobuf")
    assert isinstance(client_for(grpc), OtlpGrpcClient)
    assert isinstance(client_for(http), OtlpHttpClient)
    assert grpc.key != http.key
    assert 64 == len(grpc.key)
