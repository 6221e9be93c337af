"""Options of a lane, for both of its ends."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from pipelines.transport.flow import FlowOptions
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.rdma_options import RdmaOptions

CarrierName = Literal["auto", "shm", "rdma", "grpc"]
CARRIERS: tuple[CarrierName, ...] = ("shm", "rdma", "grpc")
"""Best first (docs/adr/0008)."""


class LaneOptions(BaseModel, frozen=True, extra="forbid"):
    """How one DPU process and one worker are connected."""

    carrier: CarrierName = Field(
        default="shm",
        description="shm: shared memory, the worker is on this host; rdma: it is where `lane.rdma.address` says; "
        "grpc: a server of the Open Inference Protocol, where `lane.grpc.address` says; auto: the first of these that "
        "is configured, possible on this machine, and answers.",
    )
    slots: int = Field(
        default=32, ge=1, le=4096, description="Slots of the ring: tasks a worker may hold at once (count)."
    )
    reserved_high: int = Field(
        default=2, ge=0, description="Slots that only cameras of priority high may take (count)."
    )
    reserved_normal: int = Field(
        default=4, ge=0, description="Further slots that cameras of priority low may not take (count)."
    )
    checksum: bool = Field(
        default=False,
        description="Guard each payload with a CRC-32: finds faulty memory, costs a pass over the bytes at both ends.",
    )
    connect_backoff_s: float = Field(
        default=0.01,
        gt=0,
        description="First pause before a worker that cannot be reached is tried again; doubles with each failure. "
        "After a lane that had lasted there is none (seconds).",
    )
    connect_backoff_max_s: float = Field(default=1.0, gt=0, description="Longest such pause (seconds).")
    attach_timeout_s: float = Field(
        default=1.0,
        gt=0,
        description="Time the peer has for each step of attaching; a worker that hangs still accepts (seconds).",
    )
    ping_interval_s: float = Field(
        default=1.0, gt=0, description="How often the worker is asked whether it lives (seconds)."
    )
    ping_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Silence after which a worker is taken for lost and its tasks are given up (seconds).",
    )
    retire_timeout_s: float = Field(
        default=5.0,
        ge=0,
        description="Time tasks in flight have when the worker drains or changes its model, before they are given up "
        "(seconds).",
    )
    flow: FlowOptions = Field(
        default=FlowOptions(), description="How much a worker is given, and when it is left alone."
    )
    rdma: RdmaOptions | None = Field(default=None, description="Where a lane over RDMA ends; needed for carrier rdma.")
    grpc: GrpcLaneOptions | None = Field(
        default=None, description="Where a lane over gRPC ends; needed for carrier grpc."
    )
    max_slots: int = Field(default=1024, ge=1, description="Worker: most slots one DPU process may ask for (count).")
    max_lanes: int = Field(default=64, ge=1, description="Worker: most DPU processes attached at once (count).")

    @model_validator(mode="after")
    def _reserve_leaves_room(self) -> Self:
        if self.reserved_high + self.reserved_normal >= self.slots:
            raise ValueError(
                f"reserved_high + reserved_normal ({self.reserved_high} + {self.reserved_normal}) must be less than "
                f"slots ({self.slots}), or low-priority cameras could never send; lower the reserves or raise slots"
            )
        return self
