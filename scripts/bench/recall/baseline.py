"""What one would do without a packet gate, on the same tapes and with the same heartbeat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.gate.bitstream import PacketFacts, PacketReader
from pipelines.gate.packet import PacketGateOptions
from scripts.bench.recall.event import Detection
from scripts.bench.recall.tape import Tape
from scripts.bench.scenes.picture import FPS

Bools = npt.NDArray[np.bool_]
HEARTBEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a fixed choice of pictures costs and finds."""

    decode_ns: int
    detections: tuple[Detection, ...]


def references(tape: Tape) -> Bools:
    """(n,) by packet: other pictures may be predicted from it. What cannot be read counts as one."""
    reader = PacketReader(tape.info.codec, tape.info.extradata)
    facts = [reader.read(payload, bool(key)) for payload, key in zip(tape.payloads, tape.is_key, strict=True)]
    return np.array([one.is_reference is not False for one in facts])


def every_nth(tape: Tape, n: int, threshold: float, since_s: float) -> Sampled:
    """Each n-th picture is analysed. Decoded are these, and the references that lead to them within their group."""
    wanted = tape.picture % min(n, round(HEARTBEAT_S * FPS)) == 0
    return _sampled(tape, wanted, threshold, since_s)


def every_nth_key(tape: Tape, n: int, threshold: float, since_s: float) -> Sampled:
    """Each n-th key frame is decoded and analysed, nothing else; at least one per heartbeat."""
    number = np.cumsum(tape.is_key) - 1
    gap = int(np.diff(np.flatnonzero(tape.is_key)).max(initial=1))
    wanted = tape.is_key & (number % max(1, min(n, int(HEARTBEAT_S * FPS) // gap)) == 0)
    return _sampled(tape, wanted, threshold, since_s)


def _sampled(tape: Tape, wanted: Bools, threshold: float, since_s: float) -> Sampled:
    needed = wanted | (references(tape) & _led_to(tape.is_key, wanted))
    cost = int(tape.cost_ns[needed & (tape.time_s >= since_s)].sum())
    shown = np.sort(tape.picture[wanted])
    found = tuple(Detection(int(n) / FPS, heartbeat=False) for n in shown if tape.scores[n] >= threshold)
    return Sampled(cost, found)


def _led_to(is_key: Bools, wanted: Bools) -> Bools:
    """By packet: a wanted one comes later in the same group."""
    led = np.zeros(len(is_key), np.bool_)
    later = False
    for number in range(len(is_key) - 1, -1, -1):
        led[number] = later
        later = (later or bool(wanted[number])) and not is_key[number]
    return led


class FixedSize:
    """Implements Predictor: the bytes of packets that are not key frames, against one number for all cameras."""

    def __init__(self, options: PacketGateOptions) -> None:
        del options

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        del time_ns
        return 0.0 if facts.is_key else float(facts.payload_bytes)

    def ready(self, time_ns: int) -> bool:
        del time_ns
        return True

    def ungateable(self, time_ns: int) -> str:
        del time_ns
        return ""

    def restart(self) -> None:
        """Nothing is learned."""


def sizes_bytes() -> Iterator[float]:
    """The thresholds that are swept."""
    yield from np.geomspace(300, 150_000, 16).round().tolist()
