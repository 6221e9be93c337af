"""Event ids: UUID version 7, so that ids sort by time, in files, in databases and in Kafka compaction alike."""

from __future__ import annotations

import os
from uuid import UUID


def uuid7(time_ms: int) -> str:
    """A fresh id for an event that began at this wall-clock millisecond.

    Layout (RFC 9562, 5.7): 48 bits of milliseconds, version 7, 12 random bits, variant 2, 62 random bits.
    Ids of one millisecond are in no particular order.
    """
    random = int.from_bytes(os.urandom(10), "big")
    value = (time_ms & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))
