"""The forms in which a secret is met: as it is, and as tools print it when they encode it."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterator

__all__ = ("SHORTEST_FORM", "forms_of")

SHORTEST_FORM = 7
"""An encoded form shorter than this (in bytes) is not looked for: it stands in too many texts by chance."""
_LEFT_ALONE = ("", "/", "!'()*~", ";,/?:@&=+$-_.!~*'()#")
"""Characters that URL quoting leaves: all quoted, Python's default, JavaScript's two functions."""
_LINE = 12
"""A line of a secret of several lines is a secret too from this length on, so that a quoted part of a key is found."""


def forms_of(secret: str) -> frozenset[str]:
    """Return the secret, and each encoded form that differs from it and is long enough."""
    made = set(_encoded(secret))
    if "\n" in secret:
        for line in secret.splitlines():
            if len(line.strip()) >= _LINE:
                made.update((line.strip(), *_encoded(line.strip())))
    return frozenset({form for form in made if len(form.encode("utf-8", "surrogatepass")) >= SHORTEST_FORM} | {secret})


def _encoded(secret: str) -> Iterator[str]:
    # Not at the top: whoever masks nothing should not pay for loading them.
    from json.encoder import encode_basestring, encode_basestring_ascii
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64(raw)
    for alone in _LEFT_ALONE:
        quoted = quote(raw, safe=alone)
        yield quoted
        yield _lower_escapes(quoted)
    yield quote_plus(raw)
    yield _lower_escapes(quote_plus(raw))
    yield encode_basestring(secret)[1:-1]
    yield encode_basestring_ascii(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield encode_basestring(encode_basestring(secret)[1:-1])[1:-1]  # a document inside a document


def _base64(raw: bytes) -> Iterator[str]:
    """Yield what stands in base64 wherever the secret begins in a group of three bytes.

    The characters at both ends that the neighbours share are left out; in each alphabet.
    """
    for before in range(3):
        text = b2a_base64(b"\0" * before + raw, newline=False).decode()
        first = (0, 2, 3)[before]
        core = text[first : (before + len(raw)) * 8 // 6]
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _lower_escapes(quoted: str) -> str:
    """Write ``%2F`` as ``%2f``, as some tools do."""
    head, *rest = quoted.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
