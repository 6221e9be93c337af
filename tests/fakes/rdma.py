"""Verbs without a device: one fabric inside this process, which checks keys as a device would.

Writes happen in `post`, in order; a notice comes as a completion at the peer. A write through a key that is not (or no
more) registered is refused and breaks the connection, at both ends.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pipelines.errors import LaneError
from pipelines.transport.rdma_status import FLUSHED, in_words
from pipelines.transport.rdma_verbs import Completion, Endpoint, LocalRegion, Piece, RemoteRegion

REFUSED, NOT_ACKNOWLEDGED = 10, 12


@dataclass(slots=True)
class FakeFabric:
    """What all queue pairs of a test share. `down`: packets are lost, and nobody acknowledges."""

    pairs: dict[int, FakePair] = field(default_factory=dict)
    down: bool = False
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(17))
    opened: list[FakePair] = field(default_factory=list)

    @property
    def regions(self) -> int:
        """Registered now, by anybody."""
        return sum(len(pair.regions) for pair in self.pairs.values())

    def open(self, local_address: str, slots: int, writes_per_slot: int) -> FakePair:
        pair = FakePair(self, next(self.numbers))
        self.pairs[pair.number] = pair
        self.opened.append(pair)
        return pair


class FakePair:
    """A QueuePair."""

    def __init__(self, fabric: FakeFabric, number: int) -> None:
        self.number = number
        self.regions: dict[int, RemoteRegion] = {}
        self.room = True
        """False: the send queue is full."""
        self._fabric = fabric
        self._peer = 0
        self._broken = self._closed = False
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._done: deque[Completion] = deque()
        self._pieces: dict[int, Sequence[Piece]] = {}

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.number, 1, "::ffff:127.0.0.1", 0, 3)

    def fileno(self) -> int:
        return self._event

    def register(self, address: int, length_bytes: int, *, remote_write: bool) -> LocalRegion:
        region = RemoteRegion(address, next(self._fabric.numbers), length_bytes)
        self.regions[region.key if remote_write else -region.key] = region
        return LocalRegion(address, region.key, length_bytes, region)

    def register_dmabuf(self, fd: int, length_bytes: int) -> LocalRegion:
        raise LaneError("this fabric has no GPU")

    def prepare(self, slot: int, pieces: Sequence[Piece]) -> None:
        self._pieces[slot] = pieces

    def connect(self, peer: Endpoint) -> None:
        self._peer = peer.queue_pair

    def post(self, slot: int, first_bytes: int, notice: int) -> bool:
        if self._broken or not self.room:
            return False
        peer = self._fabric.pairs.get(self._peer)
        if peer is None or peer._closed or self._fabric.down:
            self.break_off(NOT_ACKNOWLEDGED)
            return True
        for number, piece in enumerate(self._pieces[slot]):
            size = first_bytes if number == 0 else piece.length_bytes
            if not peer._allows(piece, size):
                peer.break_off(FLUSHED)
                self.break_off(REFUSED)
                return True
            ctypes.memmove(piece.remote_address, piece.address, size)
        peer.complete(Completion(notice))
        return True

    def completions(self) -> Sequence[Completion]:
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)
        out = []
        while self._done:
            out.append(self._done.popleft())
        return out

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.regions.clear()
            del self._fabric.pairs[self.number]
            os.close(self._event)

    def complete(self, completion: Completion) -> None:
        self._done.append(completion)
        os.eventfd_write(self._event, 1)

    def break_off(self, status: int) -> None:
        """As a device does: the failure itself, then whatever was posted, flushed."""
        self._broken = True
        for one in dict.fromkeys((status, FLUSHED)):
            self.complete(Completion(None, in_words(one), one == FLUSHED))

    def _allows(self, piece: Piece, size: int) -> bool:
        region = self.regions.get(piece.remote_key)
        return region is not None and (
            region.address <= piece.remote_address
            and piece.remote_address + size <= region.address + region.length_bytes
        )
