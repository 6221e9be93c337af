"""The seam between the lane and the verbs: all that an RDMA lane needs of a device, and nothing else.

rdma_pyverbs.py implements it with a real device; the tests have one of plain memory copies.

Order: within one queue pair, writes land in the order they were posted, and a completion for an immediate value at the
receiver says that everything before it is there to be read (InfiniBand Architecture Specification, vol. 1, 9.5). The
sender's stores happen before the device reads them because posting ends in a doorbell behind a write barrier
(rdma-core: udma_to_device_barrier). So no byte of the memory is ever polled, and Arm needs nothing beyond this.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Port:
    """One port of one device, with the address that a lane has on it."""

    device: str
    number: int
    gid: str
    gid_index: int
    lid: int
    mtu: int
    active: bool
    routed: bool
    """RoCE v2: packets are UDP, and go where IP goes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One queue pair, as its peer must know it."""

    queue_pair: int
    first_packet: int
    """Sequence number that its sends begin with."""
    gid: str
    lid: int
    """0 on Ethernet."""
    mtu: int
    """The verbs' code: 1..5 for 256..4096 bytes."""


@dataclass(frozen=True, slots=True)
class RemoteRegion:
    """Memory of the peer that we may write, while its registration lives."""

    address: int
    key: int
    length_bytes: int

    def part(self, offset: int, length_bytes: int) -> RemoteRegion:
        """Some of it, under the same key."""
        return RemoteRegion(self.address + offset, self.key, length_bytes)


@dataclass(frozen=True, slots=True)
class LocalRegion:
    """Our registered memory: what we write from, or what the peer may write to (`remote`)."""

    address: int
    key: int
    length_bytes: int
    remote: RemoteRegion


@dataclass(frozen=True, slots=True)
class Piece:
    """One write: so many bytes from here to there."""

    address: int
    key: int
    length_bytes: int
    remote_address: int
    remote_key: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A notice came, or something went wrong. Writes that went well are not told of."""

    notice: int | None
    """The immediate value; None: it went wrong."""
    error: str = ""
    """Why, in words."""
    flushed: bool = False
    """It was only thrown away after something else went wrong."""


class QueuePair(Protocol):
    """One reliable connection, its memory and its completions. No method blocks.

    Event-loop thread, but for `post`, which the lane's writer calls under its lock.
    """

    @property
    def endpoint(self) -> Endpoint: ...

    def fileno(self) -> int:
        """Readable when there are completions to fetch."""

    def register(self, address: int, length_bytes: int, *, remote_write: bool) -> LocalRegion:
        """Pin memory under a fresh key, for as long as this queue pair lives; the caller keeps the memory that long.

        Raises:
            LaneError: the device or the system's limits do not allow it.
        """

    def register_dmabuf(self, fd: int, length_bytes: int) -> LocalRegion:
        """The same for memory of another device, for the peer to write; addresses begin at 0. Raises LaneError."""

    def prepare(self, slot: int, pieces: Sequence[Piece]) -> None:
        """Make ready what `post(slot)` will write. Of several pieces the first may be shorter, even empty."""

    def connect(self, peer: Endpoint) -> None:
        """Be ready to receive from, and to send to, this peer. Receives are posted. Raises LaneError."""

    def post(self, slot: int, first_bytes: int, notice: int) -> bool:
        """Write the slot's pieces in order; the last one carries the notice. No allocation.

        False: there is no room, or the connection is broken (a completion says so); nothing was written.
        """

    def completions(self) -> Sequence[Completion]:
        """All there are; arms the file descriptor before it looks, so none is overslept. Receives are posted anew."""

    def close(self) -> None:
        """Give everything back: afterwards no key opens memory of ours. Any number of times."""


class Verbs(Protocol):
    """A way to RDMA devices."""

    def open(self, local_address: str, slots: int, writes_per_slot: int) -> QueuePair:
        """A fresh queue pair on the configured device, or on the one that has this address.

        Raises:
            LaneError: no such device, or it gives no queue pair of that size.
        """


def gid_of(address: str) -> str:
    """An IP address as RoCE writes it: IPv6, or IPv4 mapped into it; all digits."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed if parsed.version == 6 else ipaddress.ip_address(f"::ffff:{parsed}")
    return mapped.exploded
