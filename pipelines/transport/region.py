"""Where things lie in a lane's two memory regions. Pure arithmetic.

Payload region (the DPU writes, the worker reads):  | header 0 | header 1 | ... pad | payload 0 | payload 1 | ...
Answer region  (the worker writes, the DPU reads):  | answer 0 | answer 1 | ... pad

Payloads start on 4096-byte boundaries (a fixed number, not the machine's page: both ends, and an RDMA peer with other
pages, must agree); answers on cache lines, so that two slots never share one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.transport.answer import ANSWER_HEADER_BYTES, ROW_BYTES
from pipelines.transport.layout import HEADER_BYTES

ALIGN_BYTES = 4096
LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class RegionLayout:
    """Strides and offsets of a lane of `slots` slots."""

    slots: int
    payload_bytes: int
    """Room for one payload."""
    top_k: int
    """Room for rows in one answer."""

    @property
    def payloads_offset(self) -> int:
        """Of payload 0 in the payload region."""
        return _up(self.slots * HEADER_BYTES, ALIGN_BYTES)

    @property
    def payload_stride(self) -> int:
        return _up(self.payload_bytes, ALIGN_BYTES)

    @property
    def answer_stride(self) -> int:
        return _up(ANSWER_HEADER_BYTES + self.top_k * ROW_BYTES, LINE_BYTES)

    @property
    def payload_region_bytes(self) -> int:
        return self.payloads_offset + self.slots * self.payload_stride

    @property
    def answer_region_bytes(self) -> int:
        return _up(self.slots * self.answer_stride, ALIGN_BYTES)

    def header_offset(self, slot: int) -> int:
        """In the payload region."""
        return slot * HEADER_BYTES

    def payload_offset(self, slot: int) -> int:
        """In the payload region."""
        return self.payloads_offset + slot * self.payload_stride

    def answer_offset(self, slot: int) -> int:
        """In the answer region."""
        return slot * self.answer_stride


def _up(n: int, step: int) -> int:
    return -(-n // step) * step
