"""Learns secrets from the environment: values whose names say that they are secrets.

Read when a recorder is put in force, and again whenever the number of variables has changed since,
which every phase asks when it begins and when it ends. That finds what a program adds while it
runs; a variable that gets another value is read at the next such change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from otel_workflow.masking.names import names_password, names_secret_variable
from otel_workflow.masking.texts import mask

__all__ = ("learn_environment", "secrets_in", "watch_environment")

_SHORTEST, _SHORTEST_PASSWORD = 8, 6
"""Shorter values stand in too many texts by chance; for the same reason GitLab masks none below eight."""
_LONGEST = 64 * 1024
_PLAIN = frozenset((
    "changeme", "database", "disabled", "enabled", "username", "required", "optional", "postgres", "password",
    "external", "internal", "example", "undefined", "localhost", "development", "production", "staging", "testing",
))  # fmt: skip
"""Values that protect nothing, and whose masking would blot out ordinary words."""
_NUMBER = re.compile(r"[+-]?[\d.,_:]+(?:e[+-]?\d+)?", re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w .@%-]{0,31})+")
_USERINFO = re.compile(r"://([^\s/?#]*)@")


class _Read:
    """How many variables there were when the environment was read."""

    count = -1


_read = _Read()


def watch_environment() -> None:
    """Read the environment again if its number of variables has changed; a fraction of a microsecond if not."""
    # What os.environ keeps its variables in is a plain dict: its length needs no call in Python.
    if len(getattr(os.environ, "_data", os.environ)) != _read.count:
        learn_environment()


def learn_environment() -> None:
    """Read the environment, and mask from now on what looks secret in it."""
    _read.count = len(os.environ)
    mask(*secrets_in(dict(os.environ)))


def secrets_in(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of an environment that are to be masked."""
    for name, value in environ.items():
        if not _SHORTEST_PASSWORD <= len(value) <= _LONGEST:
            continue
        if "://" in value:
            yield from _of_addresses(value)
        if name.startswith("OTEL_EXPORTER_") and name.endswith("_HEADERS"):
            yield from _of_headers(value)
        elif names_secret_variable(name) and _may_be_secret(name, value.strip()):
            yield from {value, value.strip()}


def _may_be_secret(name: str, value: str) -> bool:
    if len(value) < (_SHORTEST_PASSWORD if names_password(name) else _SHORTEST):
        return False
    if value.lower() in _PLAIN or _NUMBER.fullmatch(value) or _PATH.fullmatch(value):
        return False
    # An address is where the secret is asked for, unless who knows it may write there.
    return "://" not in value or "WEBHOOK" in name.upper()


def _of_addresses(value: str) -> Iterable[str]:
    for userinfo in _USERINFO.findall(value):
        user, _, password = userinfo.partition(":")
        yield from (part for part in (password,) if len(part) >= _SHORTEST_PASSWORD)
        if len(user) >= 2 * _SHORTEST:
            yield user


def _of_headers(value: str) -> Iterable[str]:
    """The values of ``name=value,name=value``, as OTLP exporters are given their headers."""
    for pair in value.split(","):
        _, _, said = pair.partition("=")
        for part in said.replace("%20", " ").split():
            if len(part) >= _SHORTEST:
                yield part
