"""The 32 bits that travel with the last write of a slot: which slot, and which use of it. Pure.

| bits  | field |
|-------|-------|
| 31-20 | slot, 0..4095 |
| 19-0  | the low bits of the generation |

The whole generation stands in what the write carried, the slot header or the answer, at the same place in both. It is
looked up there, so the notice must agree with what it announces; a notice that does not keeps its own low bits, and
whoever reads the header or answer refuses it.
"""

from __future__ import annotations

import struct

from pipelines.transport.layout import Buffer

MAX_SLOTS = 1 << 12
_GENERATION_BITS = 20
_GENERATION_MASK = (1 << _GENERATION_BITS) - 1
_GENERATION = struct.Struct("<I")
_GENERATION_OFFSET = 20  # layout.py and answer.py, byte tables
_PAYLOAD_BYTES = struct.Struct("<Q")
_PAYLOAD_BYTES_OFFSET = 64  # layout.py, byte table


def pack_notice(slot: int, generation: int) -> int:
    """The immediate value for this use of the slot."""
    return slot << _GENERATION_BITS | generation & _GENERATION_MASK


def slot_of(notice: int) -> int:
    """Which slot a notice is about."""
    return notice >> _GENERATION_BITS


def generation_of(notice: int, buffer: Buffer, offset: int) -> int:
    """The generation that a notice announces, completed from the header or answer at `offset`."""
    written: int = _GENERATION.unpack_from(buffer, offset + _GENERATION_OFFSET)[0]
    low = notice & _GENERATION_MASK
    return written if written & _GENERATION_MASK == low else low


def payload_bytes_of(buffer: Buffer, offset: int) -> int:
    """Payload bytes in use, from the packed slot header at `offset`."""
    size: int = _PAYLOAD_BYTES.unpack_from(buffer, offset + _PAYLOAD_BYTES_OFFSET)[0]
    return size
