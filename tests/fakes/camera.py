"""A camera made of lists: what a pump reads, what its decoder gives, and pictures to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.values import (
    U8,
    Cause,
    ColorMatrix,
    ColorRange,
    Frame,
    Packet,
    StreamInfo,
    Undecodable,
)

MS = 1_000_000


def picture(sequence: int, time_ms: int, luma: int | U8 = 100, wh: tuple[int, int] = (64, 32)) -> Frame:
    """A frame of one grey, or of the luma plane given."""
    w, h = wh
    y = np.full((h, w), luma, np.uint8) if isinstance(luma, int) else luma
    chroma = np.full(((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2), 128, np.uint8)
    return Frame(
        sequence, time_ms * MS, time_ms * MS, sequence % 10 == 0, y, chroma, chroma,
        ColorRange.LIMITED, ColorMatrix.BT601,
    )  # fmt: skip


class FakeDecoder:
    """One picture per packet, but for those in `bad`; holds `delay` packets back, as B-frames do."""

    def __init__(self, bad: frozenset[int] = frozenset(), delay: int = 0) -> None:
        self._bad = bad
        self._delay = delay
        self._held: list[int] = []
        self.closed = False

    def decode(self, packet: Packet) -> Sequence[Frame | Undecodable]:
        if packet.sequence in self._bad:
            return [Undecodable(packet.sequence, Cause.CORRUPT)]
        self._held.append(packet.sequence)
        return [self._picture() for _ in range(len(self._held) - self._delay)]

    def flush(self) -> Sequence[Frame | Undecodable]:
        return [self._picture() for _ in range(len(self._held))]

    def close(self) -> None:
        self.closed = True

    def _picture(self) -> Frame:
        sequence = self._held.pop(0)
        return picture(sequence, sequence * 40)


@dataclass
class FakeStream:
    """`packets` packets, then the end, an error, or silence until interrupted."""

    ledger: Ledger
    packets: int
    then: str = "end"
    make_decoder: Callable[[], FakeDecoder] = FakeDecoder
    info: StreamInfo = field(default_factory=lambda: StreamInfo("h264", 64, 32, 25.0))
    closed: bool = False
    wanted_ns: list[int] = field(default_factory=list)
    """Of each read."""
    keys: tuple[int, ...] = (0,)
    began_ns: int = field(default_factory=time.monotonic_ns)
    """Arrival of the first packet."""
    _interrupted: threading.Event = field(default_factory=threading.Event)
    silent: threading.Event = field(default_factory=threading.Event)

    def read(self, wanted_ns: int = 0) -> Packet | None:
        self.wanted_ns.append(wanted_ns)
        if self.packets > 0:
            self.packets -= 1
            sequence = self.ledger.enter()
            at_ns = sequence * 40 * MS
            return Packet(sequence, 100, sequence in self.keys, at_ns, self.began_ns + at_ns, None)
        if self.then == "end":
            return None
        if self.then == "silence":
            self.silent.set()
            self._interrupted.wait(10)
            raise SourceError("interrupted")
        raise SourceError(self.then)

    def decoder(self) -> FakeDecoder:
        return self.make_decoder()

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed = True


class FakeSource:
    """Opens the given streams one after the other; an exception in the list is raised; at the end it blocks."""

    def __init__(self, streams: Sequence[FakeStream | SourceError], paced: bool = True) -> None:
        self._streams = list(streams)
        self._interrupted = threading.Event()
        self.opened = 0
        self.paced = paced

    def open(self) -> FakeStream:
        self.opened += 1
        if not self._streams:
            self._interrupted.wait(10)
            raise SourceError("interrupted")
        stream = self._streams.pop(0)
        if isinstance(stream, SourceError):
            raise stream
        return stream

    def interrupt(self) -> None:
        self._interrupted.set()


class FakePresence:
    """Says what it is told; counts who was asked and who only looked."""

    def __init__(self, probability: float = 1.0, ready: bool = True) -> None:
        self.answer = probability
        self.is_ready = ready
        self.asked = self.observed = self.resets = 0

    def probability(self, thumbnail: U8, time_ns: int) -> float:
        self.asked += 1
        return self.answer

    def observe(self, thumbnail: U8, time_ns: int) -> None:
        self.observed += 1

    def ready(self, time_ns: int) -> bool:
        return self.is_ready

    def reset(self) -> None:
        self.resets += 1
