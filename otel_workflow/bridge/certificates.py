"""The certificate files of a destination: read when a connection is made, and again when they have changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_workflow.bridge.destination import Destination

if TYPE_CHECKING:
    import ssl

__all__ = ("CUT_OFF", "WANTS_CERTIFICATE", "PemFiles", "read_pem_files", "stamp_of", "stamp_of_files", "tls_context")


WANTS_CERTIFICATE = "the server wants a client certificate (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"
CUT_OFF = f"cut off after the TLS handshake; perhaps {WANTS_CERTIFICATE}"
"""What TLS 1.3 lets a client see, more often than not, when its certificate is missing."""


class PemFiles(NamedTuple):
    """What the files hold, as PEM; None where no file was named."""

    roots: bytes | None
    client_key: bytes | None
    client_certificate: bytes | None


def stamp_of(destination: Destination) -> tuple[tuple[int, int, int], ...]:
    """Return what changes whenever one of the destination's certificate files was replaced or rewritten."""
    return stamp_of_files(destination.certificate, destination.client_certificate, destination.client_key)


def stamp_of_files(*files: str | None) -> tuple[tuple[int, int, int], ...]:
    """Return what changes whenever one of the files was replaced or rewritten; None is passed over."""
    stamps = []
    for file in files:
        if file:
            try:
                status = os.stat(file)  # noqa: PTH116 - on the way of every request
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def tls_context(destination: Destination) -> ssl.SSLContext:
    """Return a context that verifies, from TLS 1.2 up; raises OSError for files that cannot be used."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=destination.certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if destination.client_certificate:
            # An encrypted key would ask the terminal for its password.
            context.load_cert_chain(destination.client_certificate, destination.client_key, password=lambda: "")
    except OSError as error:
        raise _unusable(error) from error
    return context


def read_pem_files(destination: Destination) -> PemFiles:
    """Return the files' content; raises OSError for files that cannot be used.

    A client certificate without a key file is taken to hold its key too. Without a file of roots
    the system's are read, which the HTTP side uses as well; gRPC brings its own, older list.
    """
    try:
        certificate = _content(destination.client_certificate)
        key = _content(destination.client_key) or certificate
        if destination.certificate:
            return PemFiles(_content(destination.certificate), key if certificate else None, certificate)
    except OSError as error:
        raise _unusable(error) from error
    return PemFiles(_system_roots(), key if certificate else None, certificate)


def _content(file: str | None) -> bytes | None:
    return Path(file).read_bytes() if file else None


def _system_roots() -> bytes | None:
    import ssl

    if os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return None  # somebody has told gRPC itself
    try:
        return _content(ssl.get_default_verify_paths().cafile)
    except OSError:
        return None


def _unusable(error: OSError) -> OSError:
    return OSError(f"the certificate files cannot be used: {error.strerror or error}")
