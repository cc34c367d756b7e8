"""A known secret never survives, in whichever form and wherever it stands; other text stays what it was."""

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_workflow.masking import excerpt, mask, masked, texts

SECRETS = st.text(min_size=4, max_size=40)
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 behind one byte": lambda secret: base64.b64encode(b":" + secret.encode() + b"!").decode(),
    "base64 behind two bytes": lambda secret: base64.b64encode(b"u:" + secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(b"ab" + secret.encode() + b"c").decode(),
    "base64 without padding": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "upper hexadecimal": lambda secret: secret.encode().hex().upper(),
    "quoted": quote,
    "quoted whole": lambda secret: quote(secret, safe=""),
    "quoted with plus": quote_plus,
    "quoted in lower case": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "JSON": lambda secret: json.dumps({"x": secret}),
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"x": secret}, ensure_ascii=False), ensure_ascii=False),
    "repr": repr,
}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget everything, as often as Hypothesis asks."""
    return lambda: monkeypatch.setattr(texts, "_registry", type(texts._registry)())


@pytest.mark.parametrize("secret", ["hunter2-hunter2", 'p/w? "x"\\+&=é', "Zm9v+bar/baz~_-.!ü", "sieben7"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form_that_tools_print(form: str, secret: str) -> None:
    mask(secret)
    written = FORMS[form](secret)
    core = written[4:-4] if form.startswith("base64") else secret
    for before in range(9):
        shown = masked(f"{'x' * before}, {written}, y")

        assert "***" in shown, shown
        assert core not in shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(SECRETS, min_size=1, max_size=5), st.lists(st.text(max_size=30), max_size=4), st.data())
def test_a_registered_secret_never_survives_wherever_it_stands(
    fresh: Callable[[], None], secrets: list[str], between: list[str], data: st.DataObject
) -> None:
    """Secrets inside others, beside others, made of stars: none of them is in the text afterwards."""
    fresh()
    mask(*secrets)
    text = "".join(data.draw(st.permutations([*secrets, *between])))

    shown = masked(text)

    assert [] == [secret for secret in secrets if secret in shown]
    assert shown == masked(shown)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SECRETS, st.text(max_size=50), st.text(max_size=50), st.integers(0, 150), st.integers(0, 150))
def test_a_part_of_a_text_shows_nothing_of_a_secret_that_is_cut(
    fresh: Callable[[], None], secret: str, before: str, after: str, start: int, stop: int
) -> None:
    fresh()
    mask(secret)
    text = before + secret + after
    first = text.index(secret)
    shown = excerpt(text, start, stop)

    if start <= stop <= len(text) and text.count(secret) == 1 and "***" not in text:
        kept = excerpt(before, start, min(stop, first)) if start < first else ""
        assert shown.startswith(masked(kept)) or secret[:1] in before
        assert secret not in shown
        if start < first + len(secret) and stop > first:
            assert "***" in shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="=:-_"), max_size=200))
def test_a_text_without_a_secret_comes_back_as_the_same_object(fresh: Callable[[], None], text: str) -> None:
    fresh()
    mask("a secret that is not in there")
    if "a secret" not in text and not any(word in text.lower() for word in ("eyj", "akia", "asia", "aiza", "basic")):
        assert masked(text) is text


def test_a_short_secret_is_registered_from_four_characters_on() -> None:
    mask("abc", "abcd", 7)  # type: ignore[arg-type]

    assert ("abc ***", "7") == (masked("abc abcd"), masked("7"))


def test_two_secrets_that_overlap_leave_no_part_of_either() -> None:
    mask("abcdefghij", "ghijklmnop")

    assert "<***>" == masked("<abcdefghijklmnop>")


def test_a_secret_that_is_completed_by_a_mask_is_masked_as_well() -> None:
    mask("hunter2-hunter2", "***a")

    assert "x***" == masked("xhunter2-hunter2a")


def test_a_text_that_was_clean_is_looked_at_again_when_a_secret_becomes_known() -> None:
    assert "step hunter2" == masked("step hunter2")
    mask("hunter2")

    assert "step ***" == masked("step hunter2")


def test_each_line_of_a_secret_of_several_lines_is_a_secret() -> None:
    mask("-----BEGIN-----\nMIIEvQIBADANBgkqh\nkiG9w0BAQEFAASCB\n")

    assert "line 2: ***" == masked("line 2: kiG9w0BAQEFAASCB")


def test_a_secret_across_the_end_of_what_is_kept_is_masked_whole() -> None:
    mask("hunter2-hunter2")
    text = f"{'x' * 95}hunter2-hunter2 and more"

    assert "x" * 95 + "***" == excerpt(text, 0, 100)
    assert "*** and more" == excerpt(text, 105, len(text))
    assert "x" * 90 == excerpt(text, 0, 90)


def test_a_hostile_string_is_masked_by_what_it_really_says() -> None:
    class Hostile(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __str__(self) -> str:
            raise RuntimeError("no text")

    mask("hunter2-hunter2")

    assert "a ***" == masked(Hostile("a hunter2-hunter2"))
