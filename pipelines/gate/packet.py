"""The packet gate of one camera: reads each packet's headers, scores it, keeps its group, and decides."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from pipelines.contracts import GateSetting, GateStatistics
from pipelines.gate.bitstream import PacketReader
from pipelines.gate.gop import Gop, GopOptions
from pipelines.gate.score import ScoreOptions, Scorer
from pipelines.gate.sleep import Gate, SleepGate, SleepOptions
from pipelines.values import Action, Packet, StreamInfo


class PacketGateOptions(SleepOptions, ScoreOptions, GopOptions, frozen=True, extra="forbid"):
    """The decision before the decoder."""


class PacketGate:
    """Implements contracts.PacketGate. Pump thread; `trigger` from any. Costs some 18 us per packet."""

    def __init__(self, options: PacketGateOptions, paced: bool) -> None:
        self._paced = paced
        self._threshold = options.threshold
        self._opened = False
        self._sleep = SleepGate(options)
        self._scorer = Scorer(options)
        self._gop = Gop(options)
        self._reader = PacketReader("")
        self._score = 0.0
        self._key_ns = 0
        self._group_s = inf
        """Between the last two key frames."""
        self._behind_s = 0.0
        self._reason = ""
        """Why this stream cannot be gated now: its decoder starts anywhere, as some of these have no key frames."""

    @property
    def decoding(self) -> bool:
        return self._sleep.state is Gate.AWAKE

    def restart(self, info: StreamInfo) -> None:
        """A new connection. What was learned of the stream's quiet is kept."""
        self._reader = PacketReader(info.codec, info.extradata)
        self._scorer.restart()
        self._gop.clear()
        self._group_s = inf
        self._sleep.restart()

    def admit(self, packet: Packet) -> Action:
        """Decide for one packet, and keep it."""
        time_ns = packet.arrival_ns if self._paced or packet.pts_ns is None else packet.pts_ns
        facts = self._reader.read(memoryview(packet.handle), packet.is_keyframe)
        self._score = self._scorer.update(facts, time_ns)
        self._gop.add(packet, facts.is_key)
        if facts.is_key:
            self._group_s = (time_ns - self._key_ns) / 1e9
            self._key_ns = time_ns
        self._reason = self._scorer.ungateable(time_ns)
        if not self._reason and not self._scorer.ready(time_ns):
            self._reason = "learning what is quiet for this stream"
        if self._opened:
            self._reason = "the audit found that this gate misses too much"
        self._behind_s = max(0, time_ns - self._key_ns) / 1e9
        key_in_s = self._group_s - self._behind_s
        return self._sleep.admit(
            self._score, facts.is_key, self._gop.whole, self._reason, time_ns, self._behind_s, key_in_s
        )

    @property
    def score(self) -> float:
        return self._score

    @property
    def nearness(self) -> float:
        return self._score / self._sleep.asks(self._behind_s)

    @property
    def whole(self) -> bool:
        return self._gop.whole or bool(self._reason)

    def kept(self) -> Sequence[Packet]:
        """What leads from the last key frame to the packet just admitted, without it."""
        return self._gop.packets[:-1]

    def seen(self, time_ns: int) -> None:
        self._sleep.seen(time_ns)

    def trigger(self, until_ns: int) -> None:
        """Wake until then: an external event. Any thread."""
        self._sleep.trigger(until_ns)

    def tune(self, setting: GateSetting) -> None:
        """Follow the audit: another threshold, or none. Any thread."""
        self._sleep.threshold = self._threshold * setting.factor
        self._opened = setting.open_since_ns is not None

    def statistics(self) -> GateStatistics:
        return self._sleep.statistics()
