"""The product's own packet path over a tape, in the tape's time.

Packet gate, catch-up, motion, presence, heartbeat, episodes: everything that decides is the product's. Four things
stand in for what is not there:

| product | here                                                                                     |
|---------|------------------------------------------------------------------------------------------|
| pump    | a loop over the tape; arrival is the tape's time, so far ahead that nothing is ever late |
| decoder | gives the tape's thumbnail of each picture, and charges what the real one took for it    |
| worker  | answers at once with the tape's score of that picture                                    |
| egress  | feeds the episode tracker with the answer, and tells the path whether an episode lives   |

A thumbnail instead of the picture changes nothing for motion and presence, which look at thumbnails only. Validity is
off: it looks at whole pictures, and all of these are sound.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from pipelines.accounting import Ledger
from pipelines.contracts import LaneStatistics, Slot
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.gate.open import OpenGate
from pipelines.gate.packet import PacketGate as ProductGate
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.predictor import Predictor
from pipelines.gate.score import Scorer
from pipelines.inflight import InFlight
from pipelines.packetpath import PacketParts, PacketPath
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.values import (
    U8,
    Action,
    ColorMatrix,
    ColorRange,
    Detections,
    Frame,
    FrameResult,
    ModelCard,
    Outcome,
    Packet,
    Priority,
    SlotHeader,
    StreamInfo,
    Timeline,
    Undecodable,
)
from scripts.bench.recall.event import Detection
from scripts.bench.recall.tape import Tape
from scripts.bench.scenes.picture import FPS

_FUTURE_NS = 1 << 60
"""The tape's zero on the monotonic clock: decades ahead, so that no deadline passes."""
_FRAME_NS = 1_000_000_000 // FPS
_CARD = ModelCard("tape", "yolov8", 32, 32, ("something",))
_CHROMA = np.full((48, 80), 128, np.uint8)

MakePredictor = Callable[[PacketGateOptions], Predictor]


@dataclass(frozen=True, slots=True)
class Gated:
    """Which gate is replayed."""

    gate: PacketGateOptions = field(default_factory=PacketGateOptions)
    predictor: MakePredictor = Scorer
    path: PathOptions = field(default_factory=PathOptions)
    open: bool = False
    """No packet gate: everything is decoded, and the picture gates decide."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What one gate made of one tape, counted from `since_s` on."""

    decode_ns: int
    full_ns: int
    wakes: int
    glances: int
    analysed: int
    """Pictures that reached the detector."""
    detections: tuple[Detection, ...]
    catch_up_ns: tuple[tuple[float, int], ...]
    """When each catch-up was, s, and what it cost."""
    imbalance: int

    def catch_up_before(self, time_s: float) -> int:
        """Cost of the catch-up that led to a picture of this time."""
        at = bisect.bisect_right(self.catch_up_ns, (time_s, 1 << 62)) - 1
        return self.catch_up_ns[at][1] if at >= 0 else 0


def replay(tape: Tape, gated: Gated, presence: PresenceModel, threshold: float, since_s: float) -> Replay:
    """Walk the whole tape. Takes 30 to 100 us a packet.

    threshold: the detector's, for detections that count.
    """
    run = _Run(tape, gated, threshold, since_s)
    packets = run.assemble(presence)
    packets.connect(run)
    for number in range(len(tape)):
        packets.packet(run.packet(number), run.now_ns)
    packets.disconnect(ended=True, stopping=False)
    return run.result()


class _Run:
    """One replay's state; contracts.Stream as far as a packet path asks."""

    def __init__(self, tape: Tape, gated: Gated, threshold: float, since_s: float) -> None:
        self.tape = tape
        self.gated = gated
        self.threshold = threshold
        self.since = round(since_s * FPS)
        self.ledger = Ledger()
        self.now = 0
        """The packet that is being walked."""
        self.decode_ns = 0
        self.analysed = 0
        self.heartbeat = np.zeros(len(tape), np.bool_)
        """By packet: decoded only because of the heartbeat."""
        self.found: list[Detection] = []
        self.catch_ups: list[tuple[float, int]] = []
        self.wakes = self.glances = 0
        self.pass_time: Callable[[int], None] = lambda now_ns: None
        """Told the time of each packet."""

    def assemble(self, presence: PresenceModel) -> PacketPath:
        """As build.py does for a live camera that has the machine to itself."""
        inflight = InFlight()
        path = FramePath(
            PathParts(
                camera="tape",
                options=self.gated.path,
                ledger=self.ledger,
                motion=MotionGate(MotionOptions()),
                validity=None,
                presence=PresenceGate(presence, PresenceOptions()),
                presence_threshold=PresenceOptions().threshold,
                inflight=inflight,
                paced=True,
                auditor=None,
                keep_frame=False,
                picture=lambda cause: None,
            )
        )
        worker = _Worker(self, path, inflight)
        inflight.writer, self.pass_time = worker, worker.tick
        gate = OpenGate() if self.gated.open else _Watched(self)
        return PacketPath(
            PacketParts(
                camera="tape", priority=Priority.NORMAL, ledger=self.ledger, gate=gate, path=path, auditor=None,
                share=None,
            )
        )  # fmt: skip

    @property
    def now_ns(self) -> int:
        return _FUTURE_NS + self.now * _FRAME_NS

    def packet(self, number: int) -> Packet:
        """The next one; time passes."""
        tape, self.now = self.tape, number
        self.pass_time(self.now_ns)
        pts_ns = int(tape.picture[number]) * _FRAME_NS
        payload = tape.payloads[number]
        return Packet(self.ledger.enter(), len(payload), bool(tape.is_key[number]), pts_ns, self.now_ns, payload)

    @property
    def info(self) -> StreamInfo:
        return self.tape.info

    def read(self) -> Packet | None:
        raise AssertionError("the loop reads")

    def decoder(self) -> _TapedDecoder:
        return _TapedDecoder(self)

    def interrupt(self) -> None:
        """Nothing blocks."""

    def close(self) -> None:
        """Nothing is open."""

    def charge(self, ns: int) -> None:
        """The decoder worked."""
        if self.now >= self.since:
            self.decode_ns += ns

    def result(self) -> Replay:
        return Replay(
            decode_ns=self.decode_ns,
            full_ns=self.tape.full_ns(self.since / FPS),
            wakes=self.wakes,
            glances=self.glances,
            analysed=self.analysed,
            detections=tuple(self.found),
            catch_up_ns=tuple(self.catch_ups),
            imbalance=self.ledger.snapshot().imbalance,
        )


class _Watched(ProductGate):
    """The product's packet gate with the predictor of choice; notes what it does and why."""

    def __init__(self, run: _Run) -> None:
        super().__init__(run.gated.gate, paced=True)
        self._scorer = cast(Scorer, run.gated.predictor(run.gated.gate))  # of a scorer the gate asks what any has
        self._run = run
        self._by_heartbeat = False

    def admit(self, packet: Packet) -> Action:
        asleep = not self.decoding
        action = super().admit(packet)
        run = self._run
        woken = asleep and action is Action.DECODE
        if woken:
            self._by_heartbeat = self.score < run.gated.gate.threshold and not self.statistics().reason
            cost_ns = sum(int(run.tape.cost_ns[kept.sequence]) for kept in self.kept())
            run.catch_ups.append((packet.sequence / FPS, cost_ns))
        if run.now >= run.since:
            run.wakes += woken
            run.glances += action is Action.GLANCE
        by_heartbeat = action is Action.DECODE and self._by_heartbeat
        run.heartbeat[packet.sequence] = action is Action.GLANCE or by_heartbeat
        return action


class _TapedDecoder:
    """contracts.Decoder: pictures come out in the order they are shown, `delay` packets late."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._inside: list[tuple[int, Packet]] = []
        run.charge(run.tape.open_ns)

    def decode(self, packet: Packet) -> Sequence[Frame | Undecodable]:
        tape = self._run.tape
        self._run.charge(int(tape.cost_ns[packet.sequence]))
        bisect.insort(self._inside, (int(tape.picture[packet.sequence]), packet), key=lambda item: item[0])
        return [self._out() for _ in range(len(self._inside) - tape.delay)]

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
            y=self._run.tape.thumbnails[picture],
            u=_CHROMA,
            v=_CHROMA,
            color_range=ColorRange.LIMITED,
            color_matrix=ColorMatrix.BT709,
        )


class _Worker:
    """contracts.SlotWriter that answers at once, and the part of egress that steers the gates."""

    card = _CARD

    def __init__(self, run: _Run, path: FramePath, inflight: InFlight) -> None:
        self._run = run
        self._path = path
        self._inflight = inflight
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
        assert context is not None
        run = self._run
        picture = int(run.tape.picture[context.sequence])
        score = float(run.tape.scores[picture])
        if score >= run.threshold:
            run.found.append(Detection(picture / FPS, bool(run.heartbeat[context.sequence])))
        run.analysed += run.now >= run.since
        self._track(context.time_ns, score)
        run.ledger.settle(context.sequence, Outcome.INFERRED)
        return True

    def _track(self, time_ns: int, score: float) -> None:
        found = Detections(
            np.array([[0, 0, 8, 8]], np.float32), np.array([score], np.float32), np.zeros(1, np.int32)
        )  # fmt: skip
        result = FrameResult(
            camera="tape", task=0, sequence=0, wall_ms=0, source_wh=(160, 96), detections=found,
            class_names=_CARD.classes, model=_CARD.name, timeline=Timeline(), score_threshold=self._run.threshold,
            time_ns=time_ns,
        )  # fmt: skip
        self._tracker.update(result, time_ns)
        self._path.episode_alive = self._tracker.alive

    def tick(self, now_ns: int) -> None:
        """End the episode of which nothing is heard."""
        if self._tracker.alive:
            self._tracker.tick(now_ns)
            self._path.episode_alive = self._tracker.alive

    def statistics(self) -> LaneStatistics:
        return LaneStatistics(1, 1, 0, 0, 0, 0, 0, 0, 0)


def gate_us_per_packet(tape: Tape, gate: PacketGateOptions, packets: int) -> float:
    """Thread time of the product's packet gate per packet, on this tape again and again while it sleeps, us."""
    product = ProductGate(gate.model_copy(update={"threshold": 1e9}), paced=True)
    product.restart(tape.info)
    made = [
        Packet(n, len(payload), bool(tape.is_key[n % len(tape)]), None, n * _FRAME_NS, payload)
        for n, payload in ((n, tape.payloads[n % len(tape)]) for n in range(packets))
    ]
    warm = min(len(made) // 2, 20 * FPS)
    for packet in made[:warm]:
        product.admit(packet)
    began_ns = time.thread_time_ns()
    for packet in made[warm:]:
        product.admit(packet)
    return (time.thread_time_ns() - began_ns) / 1e3 / max(len(made) - warm, 1)
