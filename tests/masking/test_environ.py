"""Values of the environment are secrets if their names say so and they are worth it."""

import pytest

import otel_workflow as ow
from otel_workflow.masking import learn_environment, masked, watch_environment
from otel_workflow.masking.environ import secrets_in
from otel_workflow.testing import capture_workflow


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GITHUB_TOKEN", "abcdefgh12", {"abcdefgh12"}),
        ("STRIPE_API_KEY", "abcdefgh12\n", {"abcdefgh12\n", "abcdefgh12"}),
        ("DB_PASSWORD", "hunter", {"hunter"}),
        ("SIGNING_KEY", "abcdefgh12", {"abcdefgh12"}),
        ("SLACK_WEBHOOK", "https://example.org/T0/B0", {"https://example.org/T0/B0"}),
        ("DATABASE_URL", "postgres://app:hunter2@db/x", {"hunter2"}),
        ("SENTRY_DSN", "https://0123456789abcdef@sentry.example/1", {"0123456789abcdef"}),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=abcdefgh,authorization=Basic%20QWxhZGR==", {"abcdefgh", "QWxhZGR=="}),
        ("AWS_SECRET_ACCESS_KEY", f"/abc/{'x' * 35}", {f"/abc/{'x' * 35}"}),
        ("GITHUB_TOKEN", "short", set()),
        ("TOKEN_TYPE", "bearer-and-more", set()),
        ("SSH_AUTH_SOCK", "/run/user/1000/keyring/ssh", set()),
        ("MY_KEY", "/home/me/.ssh/id_ed25519", set()),
        ("MY_KEY", "~/keys/mine.pem", set()),
        ("USE_AUTH", "disabled", set()),
        ("SESSION_TOKEN", "1700000000", set()),
        ("DB_PASSWORD", "postgres", set()),
        ("TOKEN_ENDPOINT", "https://example.org/token", set()),
        ("AUTH_SERVER", "https://example.org/token", set()),
        ("GIT_AUTHOR_NAME", "Somebody Else", set()),
        ("PATH", "/usr/bin:/bin", set()),
        ("HOME", "/home/a-long-name", set()),
    ],
)  # fmt: skip
def test_a_value_is_a_secret_by_its_name_and_its_looks(name: str, value: str, expected: set[str]) -> None:
    assert expected == set(secrets_in({name: value}))


def test_the_environment_is_read_again_when_a_variable_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_environment()
    monkeypatch.setenv("LATE_TOKEN", "a-late-secret")
    before = masked("x a-late-secret")
    watch_environment()

    assert ("x a-late-secret", "x ***") == (before, masked("x a-late-secret"))


def test_a_secret_put_into_the_environment_inside_a_phase_is_masked_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was gathered before it was known is masked as well: attributes, events, links, the reason."""
    with capture_workflow() as captured, ow.phase("fetch") as phase:
        phase.set_attribute("before", "x a-late-secret")
        phase.span.add_event("a-late-secret", {"a": ["a-late-secret"]})
        phase.fail("a-late-secret")
        monkeypatch.setenv("LATE_TOKEN", "a-late-secret")

    assert "a-late-secret" not in repr(captured.events)
    assert "x ***" in repr(captured.events)
