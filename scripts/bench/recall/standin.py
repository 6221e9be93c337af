"""What stands for the decoder, the worker and egress while a tape is replayed."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.attention import Attention
from pipelines.contracts import LaneStatistics, Slot
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.inflight import InFlight
from pipelines.values import (
    U8,
    ColorMatrix,
    ColorRange,
    Detections,
    Frame,
    FrameResult,
    ModelCard,
    Packet,
    Priority,
    SlotHeader,
    TaskContext,
    Timeline,
    Undecodable,
)
from scripts.bench.recall.tape import Tape

_CARD = ModelCard("tape", "yolov8", 32, 32, ("something",))
_CHROMA = np.full((48, 80), 128, np.uint8)


class TapedDecoder:
    """contracts.Decoder: pictures come out in the order they are shown, `delay` packets late."""

    def __init__(self, tape: Tape, charge: Callable[[int], None]) -> None:
        """charge: told what each packet costs, ns of CPU time."""
        self._tape = tape
        self._charge = charge
        self._inside: list[tuple[int, Packet]] = []
        charge(tape.open_ns)

    def decode(self, packet: Packet) -> Sequence[Frame | Undecodable]:
        self._charge(int(self._tape.cost_ns[packet.sequence]))
        bisect.insort(self._inside, (int(self._tape.picture[packet.sequence]), packet), key=lambda item: item[0])
        return [self._out() for _ in range(len(self._inside) - self._tape.delay)]

    def flush(self) -> Sequence[Frame | Undecodable]:
        return [self._out() for _ in range(len(self._inside))]

    def close(self) -> None:
        self._inside.clear()

    def _out(self) -> Frame:
        picture, packet = self._inside.pop(0)
        return Frame(
            sequence=packet.sequence,
            pts_ns=packet.pts_ns,
            arrival_ns=packet.arrival_ns,
            is_keyframe=packet.is_keyframe,
            y=self._tape.thumbnails[picture],
            u=_CHROMA,
            v=_CHROMA,
            color_range=ColorRange.LIMITED,
            color_matrix=ColorMatrix.BT709,
        )


class Worker:
    """contracts.SlotWriter that answers at once, with the part of egress that steers the gates."""

    card = _CARD

    def __init__(
        self, inflight: InFlight, score: Callable[[TaskContext], float], attention: Attention, threshold: float
    ) -> None:
        """score: answers one task, and settles it. attention: told what the answers say. threshold: the detector's."""
        self._inflight = inflight
        self._score = score
        self._attention = attention
        self._threshold = threshold
        self._payload: U8 = np.empty(_CARD.payload_bytes, np.uint8)
        self._tracker = EpisodeTracker("tape", EpisodeOptions(), lambda now_ms: "tape")

    def loan(self, priority: Priority) -> Slot:
        del priority
        return Slot(0, 0, self._payload)

    def discard(self, slot: Slot) -> None:
        """Never called: every loan is published."""

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        del slot
        context = self._inflight.close(header.task)
        assert context is not None, "opened before it was published"
        score = self._score(context)
        self._tracker.update(self._result(score, context.time_ns), context.time_ns)
        self._attention.answered(context.time_ns, self._tracker.wanted_ns, self._tracker.alive)
        return True

    def tick(self, now_ns: int) -> None:
        """End the episode of which nothing is heard."""
        if self._tracker.alive:
            self._tracker.tick(now_ns)
            self._attention.alive = self._tracker.alive

    def statistics(self) -> LaneStatistics:
        return LaneStatistics(1, 1, 0, 0, 0, 0, 0, 0, 0)

    def _result(self, score: float, time_ns: int) -> FrameResult:
        box = np.array([[0, 0, 8, 8]], np.float32)
        return FrameResult(
            camera="tape",
            task=0,
            sequence=0,
            wall_ms=0,
            source_wh=(160, 96),
            detections=Detections(box, np.array([score], np.float32), np.zeros(1, np.int32)),
            class_names=_CARD.classes,
            model=_CARD.name,
            timeline=Timeline(),
            score_threshold=self._threshold,
            time_ns=time_ns,
        )
