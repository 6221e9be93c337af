"""The packets since the last key frame: what a sleeping camera needs to be woken in the middle of a picture group."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from pipelines.values import Packet


class GopOptions(BaseModel, frozen=True, extra="forbid"):
    """How much to keep per camera."""

    max_bytes: int = Field(
        16 * 1024 * 1024, ge=64 * 1024, description="Packets kept since the last key frame, bytes; beyond it, none."
    )


@dataclass(frozen=True, slots=True)
class GopStatistics:
    """What is kept now, and the most there was."""

    packets: int
    bytes: int
    peak_bytes: int
    given_up: int
    """Groups that did not fit: the camera can wake at their next key frame only."""


class Gop:
    """One camera's packets since the last key frame. Pump thread.

    Bound: `max_bytes`. A group beyond it is given up as a whole (its first part alone decodes to nothing useful later).
    """

    def __init__(self, options: GopOptions) -> None:
        self._max_bytes = options.max_bytes
        self._packets: list[Packet] = []
        self._bytes = 0
        self._peak_bytes = 0
        self._given_up = 0
        self._whole = False

    @property
    def whole(self) -> bool:
        """A decoder fed with `packets` can go on with the next one."""
        return self._whole

    @property
    def packets(self) -> tuple[Packet, ...]:
        """From the key frame on; empty while the group is not whole."""
        return tuple(self._packets)

    def add(self, packet: Packet, is_key: bool) -> None:
        """Keep one; a key frame, at which a decoder gives a whole picture, begins anew."""
        if is_key:
            self._packets.clear()
            self._bytes = 0
            self._whole = True
        if not self._whole:
            return
        self._packets.append(packet)
        self._bytes += packet.size_bytes
        self._peak_bytes = max(self._peak_bytes, self._bytes)
        if self._bytes > self._max_bytes:
            self.clear()
            self._given_up += 1

    def clear(self) -> None:
        """A gap in the stream: what is kept does not lead to the next packet."""
        self._packets.clear()
        self._bytes = 0
        self._whole = False

    def statistics(self) -> GopStatistics:
        return GopStatistics(len(self._packets), self._bytes, self._peak_bytes, self._given_up)
