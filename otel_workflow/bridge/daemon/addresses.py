"""Where the daemon listens: parsing, loopback or not, and whether an address is one of its own."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from otel_workflow.errors import ConfigError

__all__ = ("Address", "is_own", "parse_listen", "parse_place")

_PROTOCOLS: tuple[Literal["http", "https", "grpc", "grpcs"], ...] = ("http", "https", "grpc", "grpcs")
_ANY = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - to recognise it


@dataclass(frozen=True, slots=True)
class Address:
    """A place to listen: ``host`` without brackets; port 0 lets the system choose; https and grpcs mean TLS."""

    protocol: Literal["http", "https", "grpc", "grpcs"]
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        """True when connections are encrypted there."""
        return self.protocol in ("https", "grpcs")

    @property
    def is_grpc(self) -> bool:
        """True when gRPC is spoken there, with or without TLS."""
        return self.protocol in ("grpc", "grpcs")

    @property
    def is_loopback(self) -> bool:
        """True when nobody but this machine can reach it, by every address that the name has."""
        found = _resolved(self.host, self.port)
        return bool(found) and all(ipaddress.ip_address(host).is_loopback for host in found)

    def __str__(self) -> str:
        return f"{self.protocol}://{self.place}"

    @property
    def place(self) -> str:
        """``HOST:PORT``, with brackets where IPv6 needs them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """Read ``http://HOST:PORT`` or ``grpc://HOST:PORT``, with an s for TLS; raises ConfigError (OW-151)."""
    for protocol in _PROTOCOLS:
        if text.startswith(f"{protocol}://"):
            place = text.removeprefix(f"{protocol}://").removesuffix("/")
            return Address(protocol, *_split("--listen", text, place))
    raise _wrong("--listen", text, "http://127.0.0.1:4318 or grpc://127.0.0.1:4317")


def parse_place(flag: str, text: str) -> Address:
    """Read ``HOST:PORT`` or ``https://HOST:PORT``; raises ConfigError (OW-151) that names the flag."""
    place = text.removeprefix("https://")
    return Address("http" if place == text else "https", *_split(flag, text, place.removesuffix("/")))


def _split(flag: str, text: str, place: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path or parts.username is not None:
        raise _wrong(flag, text, "127.0.0.1:9464")
    return host, port


def _wrong(flag: str, text: str, example: str) -> ConfigError:
    return ConfigError(f"{flag}={text!r} is not an address to listen at", code="OW-151", hint=f"write {flag} {example}")


def is_own(url: str, addresses: Iterable[Address]) -> bool:
    """True when a URL leads to one of these addresses, by whichever name of this machine."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    theirs = _resolved(parts.hostname or "", port)
    for address in addresses:
        if address.port == port:
            ours = _resolved(address.host, port)
            if theirs & ours or (address.host in _ANY and any(map(_is_here, theirs))):
                return True
    return False


def _resolved(host: str, port: int) -> set[str]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {_plain(str(entry[4][0])) for entry in found}


def _plain(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_here(host: str) -> bool:
    """True when this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return True
    return False
