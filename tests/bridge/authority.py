"""Certificates for the tests of TLS, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Authority:
    """A folder with two authorities, and certificates of the first: good, expired, and for a client."""

    folder: Path

    def __call__(self, name: str) -> str:
        return str(self.folder / name)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def make_authority(folder: Path) -> Authority:
    """Make everything anew in a folder; skips the test where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificates, and is not installed")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    run("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    sign = ["x509", "-req", "-in", "request.pem", "-extfile", "names", "-CAcreateserial"]
    run(*sign, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-out", "good.pem")
    run(*sign, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "-1", "-out", "expired.pem")
    run(*sign, "-CA", "other.pem", "-CAkey", "other.key", "-days", "2", "-out", "strange.pem")
    (folder / "names").write_text("subjectAltName=DNS:elsewhere.example")
    run(*sign, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-out", "elsewhere.pem")
    return Authority(folder)
