"""Tells from a name alone that its value is a secret: of a variable, an attribute, a key in a text.

A name is taken apart at everything that is no letter, and where camelCase changes over, so that
``AUTHOR`` is not ``AUTH`` and ``token_count`` is a count.
"""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ("names_password", "names_secret", "names_secret_variable")

_PASSWORDS = ("password", "passwd", "passphrase", "passcode")
_ENDINGS = (
    *_PASSWORDS, "secret", "token", "credential", "credentials", "authorization",
    "apikey", "accesskey", "privatekey", "secretkey",
)  # fmt: skip
"""What a word may end with: people write PGPASSWORD and authtoken."""
_WORDS = frozenset(("auth", "cookie", "creds", "jwt", "signature"))
_VARIABLE_WORDS = _WORDS | {"dsn", "key", "pass", "pat", "pwd", "webhook"}
"""In an environment these stand for secrets; among attributes ``key`` and ``pass`` are ordinary."""
_BEFORE_KEY = frozenset((
    "access", "account", "api", "auth", "client", "deploy", "deployment", "encryption", "ingest", "master",
    "private", "secret", "service", "shared", "signing", "ssh", "storage",
))  # fmt: skip
_HARMLESS = frozenset((
    "algorithm", "count", "dir", "directory", "enabled", "endpoint", "expires", "expiry", "file", "host", "id",
    "index", "kind", "len", "length", "limit", "method", "mode", "name", "names", "path", "policy", "port",
    "region", "size", "sock", "source", "status", "ttl", "type", "usage", "used", "user", "username", "version",
))  # fmt: skip
"""A last word that says something about the secret rather than the secret."""
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MOST = 4096


class _Verdicts(dict[str, bool]):
    """Names judged before: they repeat, and a dictionary answers at once."""

    def __init__(self, words: frozenset[str]) -> None:
        super().__init__()
        self._words = words

    def __missing__(self, name: str) -> bool:
        if len(self) >= _MOST:
            self.clear()
        made = self[name] = _is_secret(name[:256], self._words)
        return made


def _is_secret(name: str, words: frozenset[str]) -> bool:
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or (parts[-1] in _HARMLESS and len(parts) > 1):
        return False
    if any(part in words or part.endswith(_ENDINGS) for part in parts):
        return True
    return any(part == "key" and before in _BEFORE_KEY for before, part in pairwise(parts))


names_secret = _Verdicts(_WORDS).__getitem__
"""Tell whether an attribute, a key or a header of this name holds a secret; cheap for a known one."""
names_secret_variable = _Verdicts(_VARIABLE_WORDS).__getitem__
"""Tell whether an environment variable of this name does."""


def names_password(name: str) -> bool:
    """Tell whether the name is that of a password, which may be a number."""
    return any(part.lower().endswith(_PASSWORDS) for part in _PARTS.findall(name[:256]))
