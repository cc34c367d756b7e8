"""Secrets that nobody registered are found by their shape; what names them stays, and prose is left alone."""

import time
from collections.abc import Callable

import pytest

from otel_workflow.masking import masked

A20 = "abcDEF1234567890abcd"
MASKED = {
    f"clone with ghp_{A20} now": "clone with ghp_*** now",
    f"github_pat_{A20}_{A20}": "github_pat_***",
    f"'glpat-{A20}'": "'glpat-***'",
    f"npm_{A20}{A20}": "npm_***",
    f"pypi-AgEI{A20}": "pypi-***",
    f"xoxb-1234-{A20}": "xoxb-***",
    f"sk-proj-{A20}": "sk-***",
    "AKIAIOSFODNN7EXAMPLE.": "AKIA***.",
    "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.abc-_d!": "got eyJ***!",
    "https://hooks.slack.com/services/T000/B000/XXXX": "https://hooks.slack.com/services/***",
    "postgres://app:p@ss@db:5432/x": "postgres://app:***@db:5432/x",
    "https://x-access-token:abc@github.com/x": "https://x-access-token:***@github.com/x",
    f"https://{A20}@sentry.example/1": "https://***@sentry.example/1",
    "GET /x?access_token=abc&page=2": "GET /x?access_token=***&page=2",
    "redirect%3Ftoken%3Dabcdef12": "redirect%3Ftoken%3D***",
    "Authorization: Bearer abc.def.ghi": "Authorization: Bearer ***",
    f"proxy said: Basic {A20}==": "proxy said: Basic ***",
    "X-Api-Key: abcdefgh1": "X-Api-Key: ***",
    "Cookie: a=b; c=d\nHost: x": "Cookie: ***\nHost: x",
    "Uid=app;Pwd=hunter2;": "Uid=app;Pwd=***;",
    "PGPASSWORD=hunter2 psql": "PGPASSWORD=*** psql",
    "login failed, password: hunter2.": "login failed, password: ***.",
    "password = 'hun ter2' # x": "password = '***' # x",
    '{"password": "hun\\"ter", "x": 1}': '{"password": "***", "x": 1}',
    '"{\\"client_secret\\": \\"hunter2\\"}"': '"{\\"client_secret\\": \\"***\\"}"',
    "{'token': b'hunter2'}": "{'token': b'***'}",
    "mysql --password hunter2 -h db": "mysql --password *** -h db",
    "deploy --api-key=hunter2": "deploy --api-key=***",
    "AWS_SECRET_ACCESS_KEY=wJalr/K7MDENG+bPx": "AWS_SECRET_ACCESS_KEY=***",
    "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nEvQ\n-----END RSA PRIVATE KEY-----\nb": (
        "a\n-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nb"
    ),
    "cut off: -----BEGIN PRIVATE KEY-----\\nMIIEvQ": "cut off: -----BEGIN PRIVATE KEY-----***",
    "İ password=hunter2 ß": "İ password=*** ß",  # whose lower case is longer than it is
}
LEFT = (
    "unexpected token: name at line 3",
    "tokens: 512, token_count=7, max_tokens=1000",
    "author: me, authenticated=yes, keys: 4",
    "scikit-learn and task-runner-with-a-long-name-2024",
    "npm_config_registry_is_a_long_variable_1",
    "ssh://git@github.com/owner/name",
    "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
    "password=${DB_PASSWORD} token: ${{ secrets.TOKEN }}",
    "a basic authentication scheme, bearer of news",
    "secret: none",
    "PWD=/home/me OLDPWD=/home",
    "eyJust words",
    "exit code: 3 (pytest --token-file x)",
)
WORST: dict[str, Callable[[int], str]] = {
    "beginnings of web tokens": lambda n: "eyJ" * (n // 3),
    "beginnings of tokens": lambda n: "ghp_" * (n // 4),
    "ambiguous beginnings": lambda n: "-sk-" * (n // 4),
    "dots": lambda n: "eyJ" + ".a" * (n // 2),
    "words": lambda n: "token" * (n // 5) + "=",
    "words with suffixes": lambda n: "secret_-." * (n // 9) + ":",
    "words and spaces": lambda n: ("password" + " " * 60) * (n // 68) + "=",
    "assignments": lambda n: "token=" * (n // 6),
    "assignments of prose": lambda n: "token:" * (n // 6),
    "assignments of references": lambda n: "token=${" * (n // 8),
    "assignments of places": lambda n: "pwd=/" * (n // 5),
    "options": lambda n: "--token " * (n // 8),
    "open quotes": lambda n: "password='\\" * (n // 11),
    "open quotes of other kinds": lambda n: "token=\"token='" * (n // 13),
    "escaped quotes": lambda n: 'secret="' + '\\"' * (n // 2),
    "backslashes": lambda n: "token" + "\\" * n,
    "addresses": lambda n: "://" * (n // 3),
    "addresses with users": lambda n: "://a:b" * (n // 6),
    "one long user": lambda n: "://" + "a:" * (n // 2),
    "keys that begin": lambda n: "-----BEGIN PRIVATE KEY" * (n // 22),
    "keys that do not begin": lambda n: "-----BEGIN " * (n // 11) + "PRIVATE KEY",
    "schemes": lambda n: "bearer " * (n // 7) + "=",
    "schemes in a row": lambda n: "authorization: " + "bearer " * (n // 7),
    "cookies": lambda n: "cookie:" * (n // 7),
    "spaces": lambda n: "password=" + " " * n,
    "commas": lambda n: "password=" + "," * n,
    "brackets": lambda n: "password=" + "[" * n,
    "closing brackets": lambda n: "password=" + ")" * n,
}


@pytest.mark.parametrize("text", MASKED)
def test_a_secret_is_masked_by_its_shape(text: str) -> None:
    assert MASKED[text] == masked(text)
    assert MASKED[text] == masked(MASKED[text])


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert text is masked(text)


def _seconds(text: str) -> float:
    """Processor time of the fastest of three: what the text itself costs."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        masked(text)
        times.append(time.thread_time() - began)
    return min(times)


@pytest.mark.parametrize("kind", WORST)
def test_the_worst_text_of_30_kib_costs_no_more_than_in_proportion_to_its_length(kind: str) -> None:
    """Four times the text: a quadratic search would take sixteen times as long, and the limit is eight."""
    make = WORST[kind]
    short, long = make(30 * 1024), make(4 * 30 * 1024)

    ratio = _seconds(long) / max(_seconds(short), 1e-4)

    assert ratio < 8, ratio
