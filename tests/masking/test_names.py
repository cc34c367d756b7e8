"""A name says whether its value is a secret, whatever way it is written in."""

import pytest

from otel_workflow.masking import masked_value, names_secret
from otel_workflow.masking.names import names_secret_variable


@pytest.mark.parametrize(
    "name",
    [
        "password", "db.password", "DB_PASSWORD", "PGPASSWORD", "apiKey", "APIKey", "api-key", "x-api-key", "secret",
        "client_secret", "accessToken", "auth", "http.request.header.authorization", "privateKey", "credentials",
        "sshKey", "set-cookie", "SECRET_KEY_BASE", "aws_secret_access_key",
    ],
)  # fmt: skip
def test_the_name_of_a_secret_is_known_as_one(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "author", "token_count", "tokens", "gen_ai.usage.input_tokens", "key", "cache.key", "auth.method",
        "password_file", "secret.name", "monkey", "compass", "workflow.phase.name", "tests.pass", "", "123", "auth_id",
    ],
)  # fmt: skip
def test_a_name_that_is_like_one_is_not(name: str) -> None:
    assert not names_secret(name)


def test_a_variable_called_key_holds_one_and_an_attribute_does_not() -> None:
    assert (True, False) == (names_secret_variable("DEPLOY_IT_KEY"), names_secret("deploy_it.key"))


def test_the_value_under_a_secret_name_is_masked_whole_and_counts_stay() -> None:
    said = {"password": "x", "auth": ["a", "b"], "token": 5, "db.passwd": 12345678, "secret": True, "other": "x"}

    shown = {name: masked_value(name, value) for name, value in said.items()}

    assert {
        "password": "***", "auth": ["***", "***"], "token": 5, "db.passwd": "***", "secret": True, "other": "x",
    } == shown  # fmt: skip


def test_texts_are_masked_however_deep_they_lie() -> None:
    said = {"a": [{"b": ("x", b"password=hunter2", {"api_key": "k"})}], "n": 1}

    assert {"a": [{"b": ["x", b"password=***", {"api_key": "***"}]}], "n": 1} == masked_value("said", said)


def test_what_has_no_bottom_ends_in_a_mask() -> None:
    said: list[object] = []
    said.append(said)

    assert "***" in repr(masked_value("said", said))
