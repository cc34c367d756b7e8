"""Where spans are sent and how, read from the standard ``OTEL_EXPORTER_OTLP_*`` variables."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from otel_workflow.bridge.shown import displayed
from otel_workflow.errors import ConfigError

__all__ = ("Destination", "basic")


@dataclass(frozen=True, slots=True, repr=False)
class Destination:
    """Where spans are sent and how, as the standard ``OTEL_EXPORTER_OTLP_*`` variables say it.

    ``url`` is complete, path included; for gRPC it is scheme, host and port, and https means TLS.
    ``timeout`` is in seconds, as the stock Python exporter reads it, and only shortens a
    deadline. ``certificate`` and the client's pair are file names.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: Literal["gzip", "none"] = "gzip"
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Destination | None:
        """Read the destination, or None when nothing is to be sent: no endpoint is ever assumed.

        Raises ConfigError: OW-111 for an endpoint that is no URL, OW-112 for a protocol other
        than http/protobuf and grpc, OW-113 for headers, timeout, compression or proxy that cannot
        be used.
        """
        variable, endpoint = _setting(environ, "ENDPOINT")
        if not endpoint or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
            return None
        protocol = _parse_protocol(*_setting(environ, "PROTOCOL"))
        if protocol == "grpc":
            parts = _grpc_endpoint(variable, endpoint, _setting(environ, "INSECURE")[1])
        else:
            parts = _split_endpoint(variable, endpoint)
            if "TRACES" not in variable:
                parts = parts._replace(path=parts.path.rstrip("/") + "/v1/traces")
        return cls(
            url=parts.geturl(),
            headers=tuple(_parse_headers(*_setting(environ, "HEADERS"), ascii_only=protocol == "grpc")),
            timeout=_parse_timeout(*_setting(environ, "TIMEOUT")),
            compression=_parse_compression(*_setting(environ, "COMPRESSION")),
            certificate=_setting(environ, "CERTIFICATE")[1] or None,
            client_certificate=_setting(environ, "CLIENT_CERTIFICATE")[1] or None,
            client_key=_setting(environ, "CLIENT_KEY")[1] or None,
            proxy=_proxy_for(parts, environ),
            protocol=protocol,
        )

    @property
    def key(self) -> str:
        """A digest of endpoint and headers: tells destinations apart and gives no secret away."""
        from hashlib import sha256

        return sha256(repr((self.url, sorted(self.headers))).encode("utf-8", "backslashreplace")).hexdigest()

    @property
    def display(self) -> str:
        """The URL for logs and messages, without user information and query."""
        return displayed(self.url)

    def __repr__(self) -> str:
        return f"Destination({self.display!r})"


def _setting(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    # The variable that decides and its value; an empty variable counts as not set.
    for variable in (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
        value = environ.get(variable, "").strip()
        if value:
            break
    return variable, value


def _split_endpoint(variable: str, endpoint: str, example: str = "http://localhost:4318") -> SplitResult:
    try:
        return _split_url(endpoint)
    except ValueError:
        shown = displayed(endpoint.rpartition("@")[2])
        remedy = f"write it as {variable}={example} or https://..., or unset it to send nothing"
        raise ConfigError(f"{variable}={shown!r} is not an http or https URL", code="OW-111", hint=remedy) from None


def _grpc_endpoint(variable: str, endpoint: str, insecure: str) -> SplitResult:
    # Scheme, user information, host and port; the path that an HTTP endpoint may have means nothing here.
    if "://" not in endpoint:  # only then INSECURE is asked, and secure is the specification's default
        endpoint = f"{'http' if insecure.lower() == 'true' else 'https'}://{endpoint}"
    parts = _split_endpoint(variable, endpoint, "http://localhost:4317")
    port = "" if parts.port else ":443" if parts.scheme == "https" else ":4317"
    return parts._replace(netloc=f"{parts.netloc.rstrip(':')}{port}", path="", query="")


def _split_url(url: str) -> SplitResult:
    # An http or https URL in nothing but ASCII, as it goes over the wire; ValueError for any other.
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not url.isprintable() or parts.scheme not in ("http", "https") or not parts.hostname or " " in host:
        raise ValueError(url)
    _ = parts.port  # the port is only now looked at
    return parts._replace(
        netloc=f"{user}{at}{host.encode('idna').decode()}",
        path=quote(parts.path, safe="/%:@!$&'()*+,;=~"),
        query=quote(parts.query, safe="/%:@!$&'()*+,;=~?"),
        fragment="",
    )


def _parse_protocol(variable: str, value: str) -> Literal["http/protobuf", "grpc"]:
    if value.lower() in ("", "http/protobuf"):
        return "http/protobuf"
    if value.lower() == "grpc":
        return "grpc"
    remedy = f"set {variable}=http/protobuf (port 4318, as a rule) or {variable}=grpc (4317); whoever takes one of"
    remedy += " OTLP's forms takes one of these"
    raise ConfigError(f"{variable}={value!r} is not supported", code="OW-112", hint=remedy)


def _parse_headers(variable: str, value: str, *, ascii_only: bool = False) -> Iterator[tuple[str, str]]:
    for number, entry in enumerate(value.split(","), 1):
        name, equals, content = entry.partition("=")
        name, content = unquote(name).strip().lower(), unquote(content).strip()
        if not entry.strip():
            continue
        legal = content.isprintable() and (content.isascii() or not ascii_only)
        if not equals or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) or not legal:
            # By its place: whatever it is, it may well be a token.
            remedy = "write name=value,name=value with values URL-encoded"
            remedy += ", and nothing but ASCII in them" if ascii_only else ""
            raise ConfigError(f"entry {number} of {variable} is not a header", code="OW-113", hint=remedy)
        yield name, content


def _parse_timeout(variable: str, value: str) -> float:
    try:
        seconds = float(value or 10)
    except ValueError:
        seconds = 0.0
    if seconds > 0:
        return seconds
    raise ConfigError(f"{variable}={value!r} is not usable", code="OW-113", hint="give seconds, such as 10")


def _parse_compression(variable: str, value: str) -> Literal["gzip", "none"]:
    if value.lower() in ("", "gzip"):
        return "gzip"
    if value.lower() == "none":
        return "none"
    raise ConfigError(f"{variable}={value!r} is not supported", code="OW-113", hint="use gzip or none")


def _proxy_for(parts: SplitResult, environ: Mapping[str, str]) -> str | None:
    host = parts.hostname or ""
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names.remove(f"{parts.scheme}_proxy".upper())  # in a CGI process it is a header of the client's
    name = next((name for name in names if environ.get(name)), None)
    if name is None or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    for entry in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().split(","):
        suffix = entry.strip().lstrip(".")
        if suffix and (suffix in ("*", host) or host.endswith(f".{suffix}")):
            return None
    proxy = environ[name] if "://" in environ[name] else f"http://{environ[name]}"
    with suppress(ValueError):
        if (usable := _split_url(proxy)).scheme == "http":
            return usable.geturl()
    remedy = f"give an http:// proxy, or add {host} to no_proxy"
    raise ConfigError(f"{name}={displayed(proxy.rpartition('@')[2])!r} cannot be used", code="OW-113", hint=remedy)


def basic(parts: SplitResult) -> str:
    """Return the Authorization value for the user information of a URL."""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()
