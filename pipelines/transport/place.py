"""Where one of several workers is, and by what carrier it is reached."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.options import CarrierName
from pipelines.transport.rdma_options import RdmaOptions


class PlaceOptions(BaseModel, frozen=True, extra="forbid"):
    """One worker behind a DPU process. With nothing said, one that is spawned."""

    carrier: CarrierName = Field(
        default="auto",
        description="shm, rdma, grpc: only that; auto: the first of these that is named below, possible on this "
        "machine, and answers.",
    )
    spawn: bool | None = Field(
        default=None,
        description="Start and supervise it beside this process, with the options of `worker`; unset: where none of "
        "the following is named.",
    )
    socket: Path | None = Field(
        default=None,
        description="Unix socket that the worker listens on, on this host; chosen for one that is spawned.",
    )
    rdma: RdmaOptions | None = Field(default=None, description="Where a lane over RDMA ends.")
    grpc: GrpcLaneOptions | None = Field(default=None, description="Where a lane over gRPC ends.")

    @property
    def spawned(self) -> bool:
        """It is ours to start."""
        return self.spawn if self.spawn is not None else not (self.socket or self.rdma or self.grpc)

    @property
    def may_share_memory(self) -> bool:
        """It is on this host, and known by a socket."""
        return self.spawned or self.socket is not None

    def lacks(self) -> tuple[str, str] | None:
        """The key that is missing, or contradicts, and what about it; None: sound."""
        if self.spawned and self.carrier in ("rdma", "grpc"):
            end = {"rdma": "RDMA ends at a worker", "grpc": "gRPC ends at a server"}[self.carrier]
            return "spawn", f"a lane over {end} of its own: set spawn: false"
        match self.carrier:
            case "shm" if not self.may_share_memory:
                return "socket", "is required for carrier shm: name the socket the worker listens on"
            case "rdma" if self.rdma is None:
                return "rdma", "is required for carrier rdma: name the worker's address and the shared secret"
            case "grpc" if self.grpc is None:
                return "grpc", "is required for carrier grpc: name the server's address and the model"
            case "auto" if not (self.may_share_memory or self.rdma or self.grpc):
                return "carrier", "auto has nothing to choose from: name a socket, rdma or grpc"
        return None
