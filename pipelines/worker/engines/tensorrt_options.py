"""Options of the TensorRT engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class TensorrtOptions(BaseModel, frozen=True, extra="forbid"):
    """TensorRT and TensorRT-RTX: how plans are built and run."""

    flavour: Literal["any", "tensorrt", "rtx"] = Field(
        "any", description="Which library: tensorrt, rtx (TensorRT-RTX), or any, the data-centre one first."
    )
    cache: Path | None = Field(None, description="Folder for built plans; unset: ~/.cache/framegate/plans.")
    max_batch: int = Field(32, ge=1, le=64, description="Largest batch a plan is built for, tasks.")
    opt_batch: int = Field(8, ge=1, le=64, description="Batch a plan is tuned for, tasks.")
    contexts: int = Field(
        2, ge=1, le=8, description="Batches that may be on the device at once: one copies while another computes."
    )
    graphs: bool = Field(True, description="Replay each batch size as one CUDA graph.")
    workspace_mib: int = Field(1024, ge=16, description="Scratch memory a plan may use on the device, MiB.")
    build_memory_mib: int = Field(
        8192, ge=256, description="Main memory of the process that builds a plan; beyond it, it is stopped, MiB."
    )
    build_timeout_s: float = Field(1800.0, gt=0, description="Longest time to build a plan, s.")
