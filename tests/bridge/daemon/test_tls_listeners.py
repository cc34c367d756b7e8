"""The daemon's own TLS: with real clients, over both protocols and for the page."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Literal

import pytest

from otel_workflow.bridge.answer import Answer
from otel_workflow.bridge.clients import client_for
from otel_workflow.bridge.daemon.addresses import Address, parse_listen, parse_place
from otel_workflow.bridge.daemon.daemon import Daemon
from otel_workflow.bridge.daemon.plan import Plan
from otel_workflow.bridge.daemon.tls import OwnCertificate, TlsFiles
from otel_workflow.bridge.destination import Destination
from otel_workflow.errors import ConfigError
from tests.bridge.authority import Authority, make_authority
from tests.bridge.daemon.making import SCRAPER, parse, place_of, run_span, running, runs, traces

Protocol = Literal["https", "grpcs"]
BOTH: tuple[Protocol, ...] = ("https", "grpcs")
LISTEN = (parse_listen("https://localhost:0"), parse_listen("grpcs://localhost:0"))
PAGE = parse_place("--metrics", "https://localhost:0")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def files(tmp_path: Path, pem: Authority) -> TlsFiles:
    """Copies, which a test may change."""
    for name in ("good.pem", "key.pem", "ca.pem"):
        shutil.copy(pem(name), tmp_path / name)
    return TlsFiles(tmp_path / "good.pem", tmp_path / "key.pem")


@contextmanager
def secured(state: Path, files: TlsFiles, **plan: Any) -> Iterator[Daemon]:
    with running(state / "state", **{"listen": LISTEN, "metrics": PAGE, "tls": files, **plan}) as daemon:
        yield daemon


def send(daemon: Daemon, protocol: Protocol, pem: Authority, body: bytes = b"", **files: str) -> Answer:
    """One request of our own client, over a connection of its own."""
    port = place_of(daemon, protocol).port
    named = {"certificate": pem("ca.pem"), **files}
    if protocol == "https":
        where = Destination(f"https://localhost:{port}/v1/traces", **named)  # type: ignore[arg-type]
    else:
        where = Destination(f"https://localhost:{port}", protocol="grpc", **named)  # type: ignore[arg-type]
    client = client_for(where)
    try:
        return client.send(body, deadline=time.monotonic() + 20)
    finally:
        client.close()


def page_of(daemon: Daemon, context: ssl.SSLContext, path: str = "/metrics") -> str:
    connection = HTTPSConnection("localhost", daemon.places[-1].port, context=context, timeout=20)
    try:
        connection.request("GET", path, headers=SCRAPER)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def trusting(pem: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pem("ca.pem"))


def replaced(path: Path, by: str | Path) -> None:
    """Put another file in a file's place, as a renewal does."""
    new = path.with_suffix(".new")
    shutil.copy(by, new)
    os.utime(new, ns=(1, 1))
    new.replace(path)


@pytest.mark.parametrize("protocol", BOTH)
def test_a_run_that_is_sent_over_tls_is_counted_and_shown_over_tls(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    with secured(tmp_path, files) as daemon:
        assert "accepted" == send(daemon, protocol, pem, traces(run_span(7))).kind
        page_of(daemon, trusting(pem))
        assert 1 == runs(parse(page_of(daemon, trusting(pem))))
        assert str(place_of(daemon, protocol)).startswith(f"{protocol}://localhost:")


@pytest.mark.parametrize("protocol", BOTH)
def test_one_connection_carries_many_requests_of_a_mebibyte(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    """More than a TLS record, a socket's buffer and a piece that is read at once."""
    with secured(tmp_path, files) as daemon:
        port, secure = place_of(daemon, protocol).port, {"certificate": pem("ca.pem"), "compression": "none"}
        where = (
            Destination(f"https://localhost:{port}", protocol="grpc", **secure)  # type: ignore[arg-type]
            if protocol == "grpcs"
            else Destination(f"https://localhost:{port}/v1/traces", **secure)  # type: ignore[arg-type]
        )
        client = client_for(where)
        for number in range(1, 6):
            body = traces(run_span(number, note="x" * (1 << 20)))
            assert "accepted" == client.send(body, deadline=time.monotonic() + 20).kind
        client.close()
        page_of(daemon, trusting(pem))
        assert 5 == runs(parse(page_of(daemon, trusting(pem))))


def test_a_key_in_the_certificates_file_needs_no_file_of_its_own(tmp_path: Path, pem: Authority) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pem.read("key.pem") + pem.read("good.pem"))
    with secured(tmp_path, TlsFiles(both)) as daemon:
        assert ["accepted"] * 2 == [send(daemon, protocol, pem).kind for protocol in BOTH]


@pytest.mark.parametrize("protocol", BOTH)
def test_a_client_without_a_certificate_is_refused_where_one_is_wanted(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    """Mutual TLS: and so is one whose certificate somebody else has signed."""
    wanting = TlsFiles(files.certificate, files.key, tmp_path / "ca.pem")
    body = traces(run_span(7))
    with secured(tmp_path, wanting) as daemon:
        nameless = send(daemon, protocol, pem, body)
        assert ("unreachable", True) == (nameless.kind, "wants a client certificate" in nameless.message)
        key = pem("key.pem")
        strange = send(daemon, protocol, pem, body, client_certificate=pem("strange.pem"), client_key=key)
        assert "unreachable" == strange.kind
        known = trusting(pem)
        known.load_cert_chain(pem("good.pem"), key)
        assert 0 == runs(parse(page_of(daemon, known)))
        assert "accepted" == send(daemon, protocol, pem, body, client_certificate=pem("good.pem"), client_key=key).kind
        page_of(daemon, known)
        assert 1 == runs(parse(page_of(daemon, known)))
        with pytest.raises(OSError, match=r"(?i)certificate.required|reset|EOF"):
            page_of(daemon, trusting(pem))


@pytest.mark.parametrize("protocol", BOTH)
def test_a_renewed_certificate_is_shown_to_the_next_client(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    replaced(files.certificate, pem("expired.pem"))
    with secured(tmp_path, files) as daemon:
        assert "certificate has expired" in send(daemon, protocol, pem).message
        replaced(files.certificate, pem("good.pem"))
        assert "accepted" == send(daemon, protocol, pem).kind


@pytest.mark.parametrize("protocol", BOTH)
def test_a_renewal_that_cannot_be_used_leaves_the_certificate_in_force_and_is_told(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    with secured(tmp_path, files) as daemon:
        assert {"last_error": ""} == daemon.health()[1]["tls"]
        for damage in (lambda: files.certificate.write_text("half of it"), files.certificate.unlink):
            damage()
            assert "accepted" == send(daemon, protocol, pem).kind
            assert "stays in force: --tls-cert" in daemon.health()[1]["tls"]["last_error"]
        shutil.copy(pem("strange.pem"), files.certificate)
        assert "unreachable" == send(daemon, protocol, pem).kind
        assert {"last_error": ""} == daemon.health()[1]["tls"]


@pytest.mark.parametrize("protocol", BOTH)
def test_an_authority_that_is_withdrawn_counts_from_the_next_connection_on(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    authority = tmp_path / "ca.pem"
    mine = {"client_certificate": pem("good.pem"), "client_key": pem("key.pem")}
    with secured(tmp_path, TlsFiles(files.certificate, files.key, authority)) as daemon:
        assert "accepted" == send(daemon, protocol, pem, **mine).kind
        replaced(authority, pem("other.pem"))
        assert "unreachable" == send(daemon, protocol, pem, **mine).kind


@pytest.mark.parametrize("protocol", BOTH)
def test_tls_below_1_2_is_not_spoken_by_the_daemon(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    old = trusting(pem)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        secured(tmp_path, files) as daemon,
        socket.create_connection(("localhost", place_of(daemon, protocol).port)) as s,
    ):
        s.settimeout(20)
        with pytest.raises(OSError, match=r"(?i)version|reset|EOF|alert"):
            old.wrap_socket(s, server_hostname="localhost")


@pytest.mark.parametrize("protocol", BOTH)
def test_who_speaks_in_the_clear_to_tls_is_not_heard(
    protocol: Protocol, tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    clear = {"https": "http/protobuf", "grpcs": "grpc"}
    with secured(tmp_path, files) as daemon:
        port = place_of(daemon, protocol).port
        client = client_for(Destination(f"http://localhost:{port}", protocol=clear[protocol]))  # type: ignore[arg-type]
        assert "unreachable" == client.send(traces(run_span(7)), deadline=time.monotonic() + 20).kind
        client.close()
        assert 0 == runs(parse(page_of(daemon, trusting(pem))))


def test_somebody_who_connects_and_says_nothing_holds_nobody_up(
    tmp_path: Path, files: TlsFiles, pem: Authority
) -> None:
    """The handshake is each connection's own affair; at the end none is waited for either."""
    with secured(tmp_path, files) as daemon:
        silent = socket.create_connection(("localhost", place_of(daemon, "https").port))
        with silent:
            assert "accepted" == send(daemon, "https", pem, traces(run_span(7))).kind
            daemon.stop()
            silent.settimeout(20)
            with suppress(ConnectionResetError):
                assert b"" == silent.recv(1)


def test_a_kept_alive_connection_ends_with_a_goodbye(tmp_path: Path, files: TlsFiles, pem: Authority) -> None:
    """A client can tell the end of an answer from a line that somebody has cut."""
    with secured(tmp_path, files) as daemon:
        raw = socket.create_connection(("localhost", place_of(daemon, "https").port), timeout=20)
        with trusting(pem).wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            received = b""
            while piece := client.recv(65536):  # a cut line would raise
                received += piece
    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "said"),
    [
        ("nowhere.pem", "key.pem", None, "--tls-cert 'nowhere.pem' cannot be used: No such file or directory"),
        ("good.pem", "nowhere.pem", None, "--tls-key 'nowhere.pem' cannot be used: No such file or directory"),
        ("good.pem", "key.pem", "nowhere.pem", "--tls-client-ca 'nowhere.pem' cannot be used: No such file"),
        ("key.pem", "key.pem", None, "--tls-cert 'key.pem' cannot be used: it holds no certificate in PEM"),
        ("good.pem", "good.pem", None, "--tls-key 'good.pem' cannot be used: it holds no private key in PEM"),
        ("good.pem", None, None, "--tls-cert 'good.pem' cannot be used: it holds no private key in PEM"),
        ("good.pem", "ca.key", None, "--tls-key 'ca.key' cannot be used: it is not the key of --tls-cert 'good.pem'"),
        ("good.pem", "locked.pem", None, "--tls-key 'locked.pem' cannot be used: the key has a password"),
        ("good.pem", "key.pem", "key.pem", "--tls-client-ca 'key.pem' cannot be used: it holds no certificate in PEM"),
        ("torn.pem", "key.pem", None, "--tls-cert 'torn.pem' cannot be used: "),
        (".", "key.pem", None, "--tls-cert '.' cannot be used: Is a directory"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_reason(
    pem: Authority,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    key: str | None,
    client_ca: str | None,
    said: str,
) -> None:
    monkeypatch.chdir(pem.folder)
    Path("torn.pem").write_bytes(pem.read("good.pem")[:200])
    Path("locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ConfigError) as refused:
        OwnCertificate(TlsFiles(Path(certificate), Path(key) if key else None, Path(client_ca) if client_ca else None))
    assert ("OW-157", said) == (refused.value.code, str(refused.value.args[0])[: len(said)])
    assert refused.value.hint


@pytest.mark.parametrize("where", [{"listen": LISTEN[:1]}, {"listen": LISTEN[1:]}, {"metrics": PAGE}])
def test_tls_without_a_certificate_is_refused(tmp_path: Path, where: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs a certificate") as refused:
        Plan(state=tmp_path, **where)
    assert "OW-157" == refused.value.code


def test_a_certificate_that_no_address_would_show_is_refused(tmp_path: Path) -> None:
    """Whoever gave it would believe that what he listens to is encrypted."""
    with pytest.raises(ConfigError, match="shown to nobody") as refused:
        Plan(state=tmp_path, listen=(parse_listen("http://127.0.0.1:0"),), tls=TlsFiles(tmp_path / "cert.pem"))
    assert "OW-157" == refused.value.code


@pytest.mark.parametrize("protocol", BOTH)
def test_beyond_loopback_a_clients_certificate_stands_for_a_token(tmp_path: Path, protocol: Protocol) -> None:
    address = Address(protocol, "0.0.0.0", 4318)
    named, known = TlsFiles(tmp_path / "cert"), TlsFiles(tmp_path / "cert", None, tmp_path / "ca")
    assert Plan(state=tmp_path, listen=(address,), tls=known)
    with pytest.raises(ConfigError, match="OW-152"):
        Plan(state=tmp_path, listen=(address,), tls=named)
    with pytest.raises(ConfigError, match="OW-152"):
        Plan(state=tmp_path, listen=(address, Address("http", "0.0.0.0", 4319)), tls=known)
