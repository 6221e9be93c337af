"""TLS files: pairs, and names in errors."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.errors import SinkError
from pipelines.sink.tls import TlsOptions, client_context


def test_system_authorities_and_host_names_are_checked_by_default() -> None:
    context = client_context(TlsOptions())

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_certificate_without_a_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        TlsOptions(cert_file=Path("cert.pem"))


def test_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("not a certificate")

    with pytest.raises(SinkError, match=r"ca\.pem"):
        client_context(TlsOptions(ca_file=ca_file))


def test_missing_client_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cert\.pem"):
        client_context(TlsOptions(cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem"))
