"""Options of the Open Inference Protocol server; here so that reading a configuration needs neither gRPC nor HTTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator


class ServeTlsOptions(BaseModel, frozen=True, extra="forbid"):
    """The server's own certificate, and whose certificates it accepts."""

    cert_file: Path = Field(description="PEM file of the server's certificate (with its chain).")
    key_file: Path = Field(description="PEM file of the certificate's private key.")
    client_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of client certificates; set: clients must show one."
    )


class ListenOptions(BaseModel, frozen=True, extra="forbid"):
    """Where one of the two wires listens, and whom it lets in."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; default: this machine only.")
    port: int = Field(ge=0, le=65535, description="TCP port; 0: any free one.")
    tls: ServeTlsOptions | None = Field(None, description="TLS; empty: plain text.")
    token: SecretStr | None = Field(
        None,
        min_length=8,
        description="Clients must send it as `authorization: Bearer TOKEN`; live and ready need none.",
    )
    allow_plaintext: bool = Field(
        False, description="Listen beyond this machine without TLS: only where something in front adds it."
    )

    @model_validator(mode="after")
    def _guarded(self) -> Self:
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
        """host:port, as gRPC and URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class GrpcListenOptions(ListenOptions, frozen=True, extra="forbid"):
    """The gRPC wire."""

    port: int = Field(8001, ge=0, le=65535, description="TCP port; 0: any free one.")


class RestListenOptions(ListenOptions, frozen=True, extra="forbid"):
    """The HTTP wire."""

    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0: any free one.")


class ServeOptions(BaseModel, frozen=True, extra="forbid"):
    """The worker's models for clients of the Open Inference Protocol (docs/protocol.md)."""

    grpc: GrpcListenOptions | None = Field(None, description="Serve over gRPC; empty: not.")
    rest: RestListenOptions | None = Field(None, description="Serve over HTTP; empty: not.")
    models: Mapping[str, str] = Field(
        {}, description="Further detectors that clients may load: the name they see, and a shipped name or ONNX file."
    )
    max_models: int = Field(2, ge=1, le=64, description="Most of these further models loaded at once (count).")
    max_message_bytes: int = Field(
        8 * 1024**2, ge=1024, le=2**31 - 1, description="Longest request; a longer one is refused unread (bytes)."
    )
    max_requests: int = Field(
        128, ge=1, description="Requests at work at once, both wires together; more are refused (count)."
    )
    timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Deadline of a request that names none, and the longest one it may name (s)."
    )
    shared_memory: bool = Field(
        False, description="Clients may pass tensors in POSIX shared memory of this process's user; loopback only."
    )
    max_regions: int = Field(64, ge=1, description="Most registered shared memory regions (count).")
    retry_s: float = Field(5.0, gt=0, description="Pause between attempts to listen, when a port is taken (s).")

    @model_validator(mode="after")
    def _shared_memory_is_local(self) -> Self:
        far = [wire.host for wire in (self.grpc, self.rest) if wire is not None and not wire.loopback]
        if self.shared_memory and far:
            raise ValueError(f"shared_memory is for this machine alone, and {far[0]} is beyond it: switch one off")
        return self

    @property
    def enabled(self) -> bool:
        return self.grpc is not None or self.rest is not None
