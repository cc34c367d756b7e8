"""The daemon's own certificate: read and checked at the start, and again when its files have changed.

Whoever connects gets what the files hold at that moment. Files that cannot be used while the
daemon runs (a renewal that has replaced one of two) leave the certificate before them in force;
``trouble`` says so, and health shows it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_workflow.bridge.certificates import stamp_of_files
from otel_workflow.bridge.shown import one_line
from otel_workflow.errors import ConfigError

if TYPE_CHECKING:
    import ssl

__all__ = ("OwnCertificate", "ServerPem", "TlsFiles")

_HINT = "give --tls-cert FILE and --tls-key FILE in PEM, the key without a password, and a --tls-client-ca FILE if any"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the chain shown to clients, its key, and who signs the certificates that clients must have.

    Without ``key`` the certificate's file holds it too; without ``client_ca`` clients need no certificate.
    """

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that there are, as text."""
        return tuple(str(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)


class ServerPem(NamedTuple):
    """What the files hold, as gRPC wants it."""

    key: bytes
    certificate: bytes
    client_ca: bytes | None


class _Loaded(NamedTuple):
    context: ssl.SSLContext
    pem: ServerPem


class OwnCertificate:
    """What all TLS servers of a daemon show; any thread may ask.

    Raises ConfigError (OW-157), which names the file, when the files cannot be used at the start.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.trouble = ""
        self._files = files
        self._lock = threading.Lock()
        self._stamp = stamp_of_files(*files.paths)
        self._loaded = _load(files)

    @property
    def wants_clients(self) -> bool:
        """True when a client has to show a certificate."""
        return self._files.client_ca is not None

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection: TLS 1.2 or newer, clients verified if an authority was given."""
        return self._newest().context

    def pem(self) -> ServerPem:
        """Return the same as ``context``, as PEM."""
        return self._newest().pem

    def _newest(self) -> _Loaded:
        with self._lock:
            stamp = stamp_of_files(*self._files.paths)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._loaded = _load(self._files)
                except ConfigError as error:
                    self.trouble = f"the certificate before it stays in force: {error.args[0]}"
                else:
                    self.trouble = ""
            return self._loaded


def _load(files: TlsFiles) -> _Loaded:
    import ssl

    contents = {path: _content(flag, path) for flag, path in _flags(files)}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    key = files.key or files.certificate
    try:
        # An encrypted key would ask the terminal for its password.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except OSError as error:
        reason = str(getattr(error, "reason", "") or error)
        raise _blamed(files, contents[files.certificate], contents[key], reason) from error
    if files.client_ca is not None:
        authority = files.client_ca
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(authority)
        except OSError as error:
            raise _unusable("--tls-client-ca", authority, "it holds no certificate in PEM") from error
    client_ca = contents[files.client_ca] if files.client_ca is not None else None
    return _Loaded(context, ServerPem(contents[key], contents[files.certificate], client_ca))


def _flags(files: TlsFiles) -> list[tuple[str, Path]]:
    named = (("--tls-cert", files.certificate), ("--tls-key", files.key), ("--tls-client-ca", files.client_ca))
    return [(flag, path) for flag, path in named if path is not None]


def _content(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(flag, path, error.strerror or "it cannot be read") from error


def _blamed(files: TlsFiles, certificate: bytes, key: bytes, reason: str) -> ConfigError:
    """Name the file that is at fault: OpenSSL tells only what, not where."""
    flag, path = ("--tls-key", files.key) if files.key is not None else ("--tls-cert", files.certificate)
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        return _unusable("--tls-cert", files.certificate, "it holds no certificate in PEM")
    if b"ENCRYPTED" in key:
        return _unusable(flag, path, "the key has a password, which nobody can type here")
    if b"PRIVATE KEY-----" not in key:
        return _unusable(flag, path, "it holds no private key in PEM")
    if "MISMATCH" in reason:
        return _unusable(flag, path, f"it is not the key of --tls-cert {str(files.certificate)!r}")
    return _unusable("--tls-cert", files.certificate, f"OpenSSL takes it and its key not: {one_line(reason)}")


def _unusable(flag: str, path: Path, why: str) -> ConfigError:
    return ConfigError(f"{flag} {str(path)!r} cannot be used: {why}", code="OW-157", hint=_HINT)
