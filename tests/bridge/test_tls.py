"""TLS for both protocols against one certificate authority: trouble is told apart, and never costs a span."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.destination import Destination
from otel_workflow.bridge.pump import Pump, Waiting
from otel_workflow.bridge.shipper import Shipper
from tests.bridge.authority import Authority, make_authority
from tests.bridge.grpc_peer import GrpcPeer, grpc

Protocol = Literal["http/protobuf", "grpc"]
BOTH: tuple[Protocol, ...] = ("http/protobuf", "grpc")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


class _Accept(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return

    def log_request(self, *args: Any) -> None: ...


class _Https(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Accept)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(10)
        try:
            with self.context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)  # type: ignore[arg-type]
        except OSError:
            return


@contextmanager
def server(protocol: Protocol, pem: Authority, certificate: str = "good.pem", *, mutual: bool = False) -> Iterator[str]:
    """A server with a certificate; its endpoint."""
    if protocol == "grpc":
        pair = [(pem.read("key.pem"), pem.read(certificate))]
        credentials = grpc.ssl_server_credentials(pair, pem.read("ca.pem") if mutual else None, mutual)
        with GrpcPeer(credentials=credentials) as peer:
            yield f"https://localhost:{peer.port}"
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(certificate), pem("key.pem"))
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pem("ca.pem"))
    https = _Https(context)
    thread = threading.Thread(target=https.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"https://localhost:{https.server_address[1]}"
    finally:
        https.shutdown()
        thread.join()
        https.server_close()


def ship(endpoint: str, protocol: Protocol, pem: Authority, **files: str) -> Shipper:
    """Ship one span, and return the shipper; a span that was not sent still waits in it."""
    files = {"certificate": pem("ca.pem"), **files}
    pump = Pump()
    pump.waiting.append(Waiting((b"", "", b"", ""), b"", key="1"))
    shipper = Shipper(pump, client_for(Destination(endpoint, protocol=protocol, **files)))  # type: ignore[arg-type]
    shipper.drain([], time.monotonic() + 20)
    shipper.client.close()
    assert (0, 1) == (shipper.books.refused, shipper.books.delivered + len(pump.waiting))
    return shipper


@pytest.mark.parametrize("protocol", BOTH)
def test_a_certificate_of_the_given_authority_is_taken(protocol: Protocol, pem: Authority) -> None:
    with server(protocol, pem) as endpoint:
        assert 1 == ship(endpoint, protocol, pem).books.delivered


@pytest.mark.parametrize("protocol", BOTH)
@pytest.mark.parametrize(
    ("shown", "trusted", "why"),
    [
        ("good.pem", "other.pem", "certificate: unable to get local issuer certificate"),
        ("strange.pem", "ca.pem", "certificate: unable to get local issuer certificate"),
        ("expired.pem", "ca.pem", "certificate: certificate has expired"),
        ("elsewhere.pem", "ca.pem", "certificate: "),
        ("good.pem", "key.pem", "the certificate files cannot be used"),
        ("good.pem", "nowhere.pem", "the certificate files cannot be used: No such file or directory"),
    ],
)
def test_a_certificate_that_does_not_hold_is_told_apart_and_costs_no_span(
    protocol: Protocol, pem: Authority, shown: str, trusted: str, why: str
) -> None:
    """TLS expired: same as down; distinct reason."""
    with server(protocol, pem, shown) as endpoint:
        shipper = ship(endpoint, protocol, pem, certificate=pem(trusted))
    assert shipper.books.last_error is not None
    assert shipper.books.last_error[1].startswith(why)


@pytest.mark.parametrize("protocol", BOTH)
def test_mutual_tls_takes_the_client_certificate(protocol: Protocol, pem: Authority) -> None:
    files = {"client_certificate": pem("good.pem"), "client_key": pem("key.pem")}
    with server(protocol, pem, mutual=True) as endpoint:
        assert 1 == ship(endpoint, protocol, pem, **files).books.delivered


@pytest.mark.parametrize("protocol", BOTH)
def test_a_client_certificate_that_is_missing_is_told_and_costs_no_span(protocol: Protocol, pem: Authority) -> None:
    """MTLS refused: same as down; distinct reason."""
    with server(protocol, pem, mutual=True) as endpoint:
        books = ship(endpoint, protocol, pem).books
    assert books.last_error is not None
    assert "wants a client certificate" in books.last_error[1]


@pytest.mark.parametrize("protocol", BOTH)
def test_certificate_files_are_read_again_when_they_have_changed(
    protocol: Protocol, pem: Authority, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(pem("other.pem"), trusted)
    with server(protocol, pem) as endpoint:
        client = client_for(Destination(endpoint, protocol=protocol, certificate=str(trusted)))
        assert "unreachable" == client.send(b"", deadline=time.monotonic() + 20).kind
        rotated = tmp_path / "rotated.pem"
        shutil.copy(pem("ca.pem"), rotated)
        rotated.replace(trusted)
        os.utime(trusted, ns=(1, 1))
        assert "accepted" == client.send(b"", deadline=time.monotonic() + 20).kind
        client.close()


@pytest.mark.parametrize("protocol", BOTH)
def test_trust_that_was_withdrawn_counts_from_the_next_connection_on(
    protocol: Protocol, pem: Authority, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(pem("ca.pem"), trusted)
    with server(protocol, pem) as endpoint:
        client = client_for(Destination(endpoint, protocol=protocol, certificate=str(trusted)))
        assert "accepted" == client.send(b"", deadline=time.monotonic() + 20).kind
        shutil.copy(pem("other.pem"), trusted)
        os.utime(trusted, ns=(1, 1))
        if protocol == "http/protobuf":  # gRPC would connect again by itself, so there every send looks
            client.close()
        assert "unreachable" == client.send(b"", deadline=time.monotonic() + 20).kind
        client.close()


@pytest.mark.parametrize("protocol", BOTH)
def test_tls_below_1_2_is_not_spoken(protocol: Protocol, pem: Authority) -> None:
    """A server that offers nothing newer than 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pem("good.pem"), pem("key.pem"))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    https = _Https(context)
    thread = threading.Thread(target=https.serve_forever, args=(0.02,))
    thread.start()
    try:
        endpoint = f"https://localhost:{https.server_address[1]}"
        assert 0 == ship(endpoint, protocol, pem).books.delivered
    finally:
        https.shutdown()
        thread.join()
        https.server_close()
