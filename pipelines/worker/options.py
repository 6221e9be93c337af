"""Options of a worker process."""

from __future__ import annotations

from pydantic import BaseModel, Field


class BatchOptions(BaseModel, frozen=True, extra="forbid"):
    """How tasks become batches."""

    max_batch: int = Field(8, ge=1, le=64, description="Largest batch, tasks.")
    max_wait_ms: float = Field(
        4.0, ge=0, le=100, description="Longest time an idle engine waits for a batch to fill, where waiting pays, ms."
    )
    queue: int = Field(
        4096,
        ge=1,
        description="Tasks that may wait; the one with the latest deadline is refused beyond it. They wait in their "
        "lanes' slots: a smaller number saves no memory, and refuses what a burst leaves time for.",
    )
    watchdog_s: float = Field(10.0, gt=0, description="A batch that runs longer than this ends the worker process, s.")
