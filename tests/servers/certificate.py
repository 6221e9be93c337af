"""Certificates for the tests: an authority, a server for localhost, and a client. Made by openssl, valid for a day."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files. `server_pem` holds key and certificate in one file, as Kafka wants it."""

    ca: Path
    server_cert: Path
    server_key: Path
    server_pem: Path
    client_cert: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make all of them in `directory` (a second or less)."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificates for the TLS tests")
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    subject = ["-subj", "/CN=framegate test authority"]
    _openssl("req", "-x509", *_new_key(ca_key), "-days", "1", *subject, "-out", str(ca))
    server_cert, server_key = _signed(directory, "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1", ca, ca_key)
    client_cert, client_key = _signed(directory, "framegate", "extendedKeyUsage=clientAuth", ca, ca_key)
    server_pem = directory / "server.pem"
    server_pem.write_text(server_key.read_text() + server_cert.read_text())
    return Certificates(ca, server_cert, server_key, server_pem, client_cert, client_key)


def _signed(directory: Path, name: str, extension: str, ca: Path, ca_key: Path) -> tuple[Path, Path]:
    request, cert, key = directory / f"{name}.csr", directory / f"{name}.crt", directory / f"{name}.key"
    extensions = directory / f"{name}.ext"
    extensions.write_text(extension + "\n")
    _openssl("req", *_new_key(key), "-subj", f"/CN={name}", "-out", str(request))
    authority = ["-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-extfile", str(extensions)]
    _openssl("x509", "-req", "-in", str(request), *authority, "-days", "1", "-out", str(cert))
    return cert, key


def _new_key(key: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
