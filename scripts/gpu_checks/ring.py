"""The product's own ring, filled with pictures: payloads as a worker has them, in a mapping that it can only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pipelines.transport import memory
from pipelines.transport.region import RegionLayout
from pipelines.values import U8, ModelCard


@contextmanager
def ring(card: ModelCard, pictures: U8) -> Iterator[tuple[U8, list[U8]]]:
    """(the payload region as the worker maps it, its payloads), holding the given pictures, (n, payload_bytes)."""
    layout = RegionLayout(len(pictures), card.payload_bytes, card.top_k)
    written, fds = memory.create(layout, epoch=1)
    try:
        received = memory.map_received(layout, 1, fds)
    finally:
        memory.close(fds)
    for slot, picture in enumerate(pictures):
        np.copyto(written.payload_view(slot)[: card.payload_bytes], picture)
    region = np.frombuffer(received.payload, np.uint8)
    yield region, [received.payload_view(slot)[: card.payload_bytes] for slot in range(len(pictures))]
