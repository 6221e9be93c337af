"""The packet gate that lets everything through: for cameras whose gate is switched off."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.contracts import GateSetting, GateStatistics
from pipelines.values import Action, Packet, StreamInfo


class OpenGate:
    """Implements contracts.PacketGate: every packet is to be decoded. Keeps nothing, so a decoder starts anywhere."""

    @property
    def decoding(self) -> bool:
        return True

    @property
    def score(self) -> float:
        return 1.0

    @property
    def nearness(self) -> float:
        return 1.0

    def trigger(self, until_ns: int) -> None:
        """Awake anyway."""

    def tune(self, setting: GateSetting) -> None:
        """Open anyway."""

    @property
    def whole(self) -> bool:
        return True

    def restart(self, info: StreamInfo) -> None:
        """Nothing was learned."""

    def admit(self, packet: Packet) -> Action:
        del packet
        return Action.DECODE

    def kept(self) -> Sequence[Packet]:
        return ()

    def seen(self, time_ns: int) -> None:
        """Awake anyway."""

    def statistics(self) -> GateStatistics:
        return GateStatistics("awake", 0, 0, 0, "the packet gate is switched off")
