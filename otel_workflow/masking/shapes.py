"""Finds secrets that nobody registered, by the shape of a token or by the word in front of them.

A literal is looked for first, and a regular expression runs only where one stands. Each expression
consumes the run it looks at, whether that is a secret or not, so that no character is looked at
from many starts and the worst text costs what an ordinary one does, times a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from otel_workflow.masking.known import Spans
from otel_workflow.masking.names import names_password, names_secret

__all__ = ("find_shapes",)

_SHORTEST = 8
"""``pwd=abcd``: nothing shorter has both a word and a secret."""
_TOKENS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "npm_",
    "pypi-", "xox", "xapp-", "sk-", "sk_live_", "rk_live_", "hf_", "dckr_pat_", "hvs.", "SG.", "AKIA",
    "ASIA", "AIza", "eyJ",
)  # fmt: skip
"""How tokens of well-known services begin; ``eyJ`` is ``{"`` in base64: a JSON Web Token."""
_AMBIGUOUS = ("sk-", "npm_", "hf_", "pypi-")
"""What also begins names of packages and variables: the token behind it has digits and no separator for a while."""
_LEAST = 16
_WORDS = ("passw", "passp", "pwd", "secret", "token", "key", "auth", "credential", "cookie", "signature")
_BEFORE_KEY = (
    "access", "account", "api", "auth", "client", "deploy", "encryption", "private", "secret", "shared", "signing",
    "ssh",
)  # fmt: skip
_SCHEMES = ("bearer ", "basic ")
_FURTHEST = 4096
_LONGEST_WORD = 64
"""What stands behind a word for a secret and is longer than this is no word, number or name, but a secret."""


@cache
def _reference() -> re.Pattern[str]:
    """A value that is the name of a secret, or none."""
    return re.compile(r"\$\{.*|\$[A-Z_][A-Z0-9_]*|\{\{.*|%\(\w+\)s|<[\w .-]+>|\*\*\*|[Nn]one|null|[Tt]rue|[Ff]alse")


@cache
def _token() -> re.Pattern[str]:
    beginnings = "|".join(re.escape(each) for each in _TOKENS if each not in ("xox", "sk-"))
    return re.compile(rf"({beginnings}|xox[a-z]-|(?<![A-Za-z0-9])sk-)([A-Za-z0-9_-]*+)((?:\.[A-Za-z0-9_-]++)*+)")


@cache
def _marks() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """A character in the beginning of a token, and what must stand around it: found at the speed of one character."""
    return (
        ("_", re.compile(r"_(?:(?<=gh[pousr]_)|(?<=npm_|pat_|ive_)|(?<=hf_))")),
        ("-", re.compile(r"-(?:(?<=glpat-|glcbt-|glptt-)|(?<=gldt-|glrt-|pypi-|xapp-|xox[a-z]-)|(?<=sk-))")),
        (".", re.compile(r"\.(?:(?<=hvs\.)|(?<=SG\.))")),
        ("A", re.compile(r"A(?:KIA|SIA|Iza)")),
        ("J", re.compile(r"J(?<=eyJ)")),
    )


@cache
def _userinfo() -> re.Pattern[str]:
    return re.compile(r"://([^\s/?#\"'<>]*)@")


@cache
def _assignment() -> re.Pattern[str]:
    """What stands behind a word for a secret: the rest of the name, then ``=`` or ``:``, or a blank."""
    return re.compile(r"([a-z0-9_.-]{0,48}+)([\\\"'\]]{0,4}+\s{0,4}+(?:=>|[:=]|%3d)?\s{0,4}+)")


@cache
def _bare() -> re.Pattern[str]:
    return re.compile(
        r"(?:(?:bearer|basic|token|digest|negotiate)\s{1,4})?((?:[^\s\"'&;,]|,(?![\s]))*+)", re.IGNORECASE
    )


@cache
def _scheme() -> re.Pattern[str]:
    return re.compile(r"(?:bearer|basic)\s{1,4}+([a-z0-9._~+/=-]++)")


@cache
def _webhook() -> re.Pattern[str]:
    return re.compile(r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]++)")


def find_shapes(text: str) -> Spans:
    """Return where something that looks like a secret stands; what tells its kind is left to be read."""
    found: Spans = []
    if len(text) < _SHORTEST:
        return found
    if any(mark in text and around.search(text) for mark, around in _marks()):
        found.extend(_tokens(text))
    if "PRIVATE KEY" in text:
        found.extend(_keys(text))
    if "://" in text:
        found.extend(_in_urls(text))
    if "=" in text or ":" in text or "--" in text or "%3" in text:
        lower = _lower(text)
        found.extend(_assigned(text, lower))
    else:
        lower = ""
    if " " in text:
        lower = lower or _lower(text)
        if any(scheme in lower for scheme in _SCHEMES):
            found.extend(_schemes(lower))
    return found


def _lower(text: str) -> str:
    """Return the text with ASCII letters in lower case, character for character."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _has_digit(text: str) -> bool:
    return any(map(text.__contains__, "0123456789"))


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    for match in _token().finditer(text):
        beginning, run, dotted = match.groups()
        if beginning in ("hvs.", "SG.", "eyJ"):
            if len(run) + len(dotted) >= _LEAST:
                yield match.start(2), match.end()
        elif len(run) >= _LEAST:
            start = run[: 2 * _LEAST]
            if beginning not in _AMBIGUOUS or (_has_digit(run) and (beginning != "npm_" or "_" not in start)):
                yield match.span(2)


def _keys(text: str) -> Iterator[tuple[int, int]]:
    """PEM: from the end of a BEGIN line to its END line, or to the end of the text where that was cut off."""
    at = text.find("-----BEGIN ")
    while at >= 0:
        begins = text.find("PRIVATE KEY", at, at + 64)
        if begins < 0:
            at = text.find("-----BEGIN ", at + 11)
            continue
        closing = text.find("-----", begins)
        begins = closing + 5 if 0 <= closing < begins + 32 else begins + 11
        ends = text.find("-----END", begins)
        ends = len(text) if ends < 0 else ends
        if text[begins:ends] != "***":
            yield begins, ends
        at = text.find("-----BEGIN ", ends)


def _in_urls(text: str) -> Iterator[tuple[int, int]]:
    """The password before a host; a user's name too if it is as long as a token."""
    for match in _userinfo().finditer(text):
        user, _, password = match[1].partition(":")
        if password:
            yield match.end(1) - len(password), match.end(1)
        if len(user) >= _LEAST:
            yield match.start(1), match.start(1) + len(user)
    if "hooks.slack.com/" in text:
        for match in _webhook().finditer(text):
            yield match.span(1)


def _schemes(lower: str) -> Iterator[tuple[int, int]]:
    for match in _scheme().finditer(lower):
        if len(match[1]) >= _LEAST and (_has_digit(match[1]) or match[1].endswith("=") or len(match[1]) >= 2 * _LEAST):
            yield match.span(1)


def _assigned(text: str, lower: str) -> Iterator[tuple[int, int]]:
    """Values behind a word for a secret. What was taken as a value is not looked into again."""
    behind, done = _assignment().match, 0
    for at, word in _words_in(lower):
        match = behind(lower, at + len(word)) if at >= done else None
        if match is None:
            continue
        rest, between = match.groups()
        key = _key_of(lower, at, word, rest)
        sign = between.strip("\\\"'] \t\r\n")
        if key and (sign or (between.isspace() and _is_option(lower, at))):
            found = _value(text, match.end(), key, sign)
            if found is not None and found[1] > found[0]:
                yield found
                done = found[1]


def _words_in(lower: str) -> list[tuple[int, str]]:
    found = []
    for word in _WORDS:
        at = lower.find(word)
        while at >= 0:
            found.append((at, word))
            at = lower.find(word, at + len(word))
    return sorted(found) if len(found) > 1 else found


def _key_of(lower: str, at: int, word: str, rest: str) -> str:
    """Return the name that is a secret's, as far as it matters; empty if it is none."""
    if word == "pwd":
        return "" if rest else word
    if word == "key":
        if not lower[max(at - 12, 0) : at].rstrip("_-").endswith(_BEFORE_KEY):
            return ""
        word = "api_key"
    key = (word + rest).rstrip(".-_")
    return key if names_secret(key) else ""


def _value(text: str, at: int, key: str, sign: str) -> tuple[int, int] | None:
    while text.startswith(("[", "(", "{"), at):
        at += 1
    found = _quoted(text, at) or _line(text, at, key) or _plain(text, at, key, sign)
    if found is None or (found[1] - found[0] < _LONGEST_WORD and _reference().fullmatch(text, *found)):
        return None
    return found


def _is_option(lower: str, at: int) -> bool:
    """Tell whether the word stands in ``--word``, with a few letters between them or none."""
    dashes = lower.rfind("--", max(at - 32, 0), at)
    return dashes >= 0 and not any(map(str.isspace, lower[dashes:at]))


def _quoted(text: str, at: int) -> tuple[int, int] | None:
    """What stands between quotes, which may be escaped as they are in JSON inside JSON."""
    if text[at : at + 1] in "bBuUrRfF" and text.startswith(('"', "'"), at + 1):  # as Python writes it
        at += 1
    begins = at
    while begins < at + 4 and text.startswith("\\", begins):
        begins += 1
    if not text.startswith(('"', "'"), begins):
        return None
    closing, furthest = text[at : begins + 1], begins + _FURTHEST
    ends = text.find(closing, begins + 1, furthest)
    while begins == at and ends > 0 and text[ends - 1] == "\\":  # an escaped quote belongs to the value
        ends = text.find(closing, ends + 1, furthest)
    return begins + 1, ends if ends >= 0 else min(len(text), furthest)


def _line(text: str, at: int, key: str) -> tuple[int, int] | None:
    """The rest of the line, of a header with several values."""
    if not key.startswith("cookie"):
        return None
    ends = text.find("\n", at, at + _FURTHEST)
    return at, ends if ends >= 0 else min(len(text), at + _FURTHEST)


def _plain(text: str, at: int, key: str, sign: str) -> tuple[int, int] | None:
    """A value without quotes. After a colon a word may be prose: ``unexpected token: name``."""
    match = _bare().match(text, at)
    if match is None:
        return None
    value, begins = match[1].rstrip(")]}>.:"), match.start(1)
    found = begins, begins + len(value)
    # Only what is short is passed over: else a text of nothing but words would be read from each of them.
    if len(value) >= _LONGEST_WORD or begins > match.start() or names_password(key):
        return found
    if value.startswith("/") and key.startswith("pwd"):
        return None
    numeric = value.replace(".", "", 1).isdigit()
    is_prose = sign in ("", ":") and not (len(value) >= _SHORTEST and _has_digit(value))
    return None if numeric or is_prose else found
