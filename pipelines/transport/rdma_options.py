"""Options of a lane over RDMA, for both of its ends."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from pipelines.errors import LaneError

SECRET_BYTES = 16
"""The least a shared secret has."""


class RdmaOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the two ends of an RDMA lane meet, and on which device."""

    address: str = Field(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description='Worker, "HOST:PORT": it listens there with TCP, on an address of its RDMA device; the DPU process '
        "connects there. The lane itself is RDMA.",
    )
    secret: SecretStr = Field(
        description="Shared by DPU and worker: at least 16 characters, the same on both sides.",
    )
    device: str = Field(
        default="", description="RDMA device as `ibv_devices` lists it; empty: the one that has the lane's own address."
    )
    gid_index: int = Field(
        default=-1, ge=-1, le=255, description="Entry of the device's GID table; -1: the RoCE v2 entry of the address."
    )
    ack_timeout_ms: float = Field(
        default=134.0,
        gt=0,
        le=60_000,
        description="How long the device waits for an acknowledgement before it sends again; after 7 repeats the lane "
        "is lost. Rounded up to 4.096 us times a power of two (milliseconds).",
    )
    memory: Literal["auto", "dmabuf", "peermem", "host"] = Field(
        default="host",
        description="Worker: what the frames land in. host: main memory; dmabuf, peermem: the GPU's, by either way; "
        "auto: the first that works of dmabuf, peermem, host.",
    )

    @model_validator(mode="after")
    def _port_is_a_port(self) -> Self:
        if not 0 < int(self.address.rpartition(":")[2]) < 65_536:
            raise ValueError(f"the port of {self.address} must be 1..65535")
        return self

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The address in two parts; brackets of an IPv6 address removed."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def ack_timeout_exponent(self) -> int:
        """The verbs' `timeout`: n for 4.096 us * 2^n, 1..31."""
        least_us = self.ack_timeout_ms * 1e3
        return next((n for n in range(1, 32) if 4.096 * 2**n >= least_us), 31)

    def key(self) -> bytes:
        """The secret's bytes.

        Raises:
            LaneError: there is none, or it is too short to be one.
        """
        secret = self.secret.get_secret_value().encode()
        if len(secret) < SECRET_BYTES:
            raise LaneError(
                f"lane.rdma.secret has {len(secret)} bytes; give both sides the same {SECRET_BYTES} or more, "
                "for example from `openssl rand -hex 16`"
            )
        return secret
