"""Where the gRPC sink listens, and whom it lets in."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, model_validator


class ServerTlsOptions(BaseModel, frozen=True, extra="forbid"):
    """The server's own certificate, and whose certificates it accepts."""

    cert_file: Path = Field(description="PEM file of the server's certificate (with its chain).")
    key_file: Path = Field(description="PEM file of the certificate's private key.")
    client_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of client certificates; set: clients must show one."
    )


class GrpcOptions(BaseModel, frozen=True, extra="forbid"):
    """A server that consumers subscribe to (configs/schema/framegate.proto)."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; default: this machine only.")
    port: int = Field(50061, ge=0, le=65535, description="TCP port; 0: any free one.")
    tls: ServerTlsOptions | None = Field(None, description="TLS; empty: plain text.")
    token: SecretStr | None = Field(
        None, min_length=8, description="Clients must send it as metadata `authorization: Bearer TOKEN`; empty: none."
    )
    allow_plaintext: bool = Field(
        False, description="Listen beyond this machine without TLS: only where something in front adds it."
    )
    max_subscribers: int = Field(32, ge=1, description="Subscribers at once; more are refused.")
    queue_records: int = Field(
        256, ge=1, description="Alerts that wait for a slow subscriber; beyond it the oldest are dropped."
    )
    remember_records: int = Field(256, ge=0, description="Alerts remembered for subscribers that ask for the past.")
    remember_bytes: int = Field(16 * 1024**2, ge=0, description="Bytes of remembered alerts.")
    retry_s: float = Field(5.0, gt=0, description="Seconds between attempts to listen, when the port is taken.")

    @model_validator(mode="after")
    def _guarded(self) -> GrpcOptions:
        if self.loopback:
            return self
        if self.tls is None and not self.allow_plaintext:
            raise ValueError(f"host {self.host} is beyond this machine: set tls, or allow_plaintext if a proxy adds it")
        if self.token is None and (self.tls is None or self.tls.client_ca_file is None):
            raise ValueError(f"host {self.host} is beyond this machine: set token, or client_ca_file in tls")
        return self

    @property
    def loopback(self) -> bool:
        """Only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def target(self) -> str:
        """host:port as gRPC wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
