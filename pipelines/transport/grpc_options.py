"""Options of a lane over gRPC: which server, which model, and how to know each other."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator


class GrpcTlsOptions(BaseModel, frozen=True, extra="forbid"):
    """How to know the server, and how to be known by it."""

    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust; empty: the system's.")
    cert_file: Path | None = Field(None, description="PEM file of our own certificate (with its chain).")
    key_file: Path | None = Field(None, description="PEM file of our certificate's private key.")
    server_name: str = Field(
        "", description="Name that the server's certificate must have; empty: that of the address."
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or none")
        return self


class GrpcLaneOptions(BaseModel, frozen=True, extra="forbid"):
    """A server of the Open Inference Protocol with the folded model: our worker, or Triton (docs/protocol.md)."""

    address: str = Field(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", description='Server, "HOST:PORT".'
    )
    model: str = Field(min_length=1, description="The folded model's name on that server.")
    version: str = Field("", description="Which version of it; empty: the server's choice.")
    tls: GrpcTlsOptions | None = Field(None, description="TLS; empty: plain text.")
    token: SecretStr | None = Field(
        None, min_length=8, description="Sent as `authorization: Bearer TOKEN` with every call; empty: none."
    )
    allow_plaintext: bool = Field(
        False, description="Send pictures beyond this machine without TLS: only where something in between adds it."
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="Longest time a task may be out, whatever its own deadline says (s)."
    )

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.tls is None and not self.allow_plaintext and not self.loopback:
            raise ValueError(f"{self.address} is beyond this machine: set tls, or allow_plaintext if a proxy adds it")
        return self

    @property
    def loopback(self) -> bool:
        """The server is on this machine."""
        host = self.address.rpartition(":")[0].strip("[]")
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
