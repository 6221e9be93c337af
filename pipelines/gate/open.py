"""The packet gate that lets everything through: what a camera has until one is fitted, and what cannot be gated."""

from __future__ import annotations

from pipelines.values import Outcome, Packet


class OpenGate:
    """Implements contracts.PacketGate: every packet is decoded."""

    @property
    def decoding(self) -> bool:
        return True

    def refuse(self, packet: Packet) -> Outcome | None:
        del packet
        return None
