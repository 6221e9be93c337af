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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from pipelines.accounting import Ledger
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.gate.open import OpenGate
from pipelines.gate.packet import PacketGate as ProductGate
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.predictor import Predictor
from pipelines.gate.score import Scorer
from pipelines.gate.sleep import Gate
from pipelines.inflight import InFlight
from pipelines.packetpath import PacketParts, PacketPath
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.values import Action, Outcome, Packet, Priority, StreamInfo, TaskContext
from scripts.bench.recall.event import Detection
from scripts.bench.recall.standin import TapedDecoder, Worker
from scripts.bench.recall.tape import Tape
from scripts.bench.scenes.picture import FPS

_FUTURE_NS = 1 << 60
"""The tape's zero on the monotonic clock: decades ahead, so that no deadline passes."""
_FRAME_NS = 1_000_000_000 // FPS

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
        worker = Worker(inflight, self.answer, path.attention, self.threshold)
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

    def read(self, wanted_ns: int = 0) -> Packet | None:
        raise AssertionError("the loop reads")

    def decoder(self) -> TapedDecoder:
        return TapedDecoder(self.tape, self.charge)

    def interrupt(self) -> None:
        """Nothing blocks."""

    def close(self) -> None:
        """Nothing is open."""

    def charge(self, ns: int) -> None:
        """The decoder worked."""
        if self.now >= self.since:
            self.decode_ns += ns

    def answer(self, context: TaskContext) -> float:
        """The tape's score of a picture that the gates let pass."""
        picture = int(self.tape.picture[context.sequence])
        score = float(self.tape.scores[picture])
        if score >= self.threshold:
            self.found.append(Detection(picture / FPS, bool(self.heartbeat[context.sequence])))
        self.analysed += self.now >= self.since
        self.ledger.settle(context.sequence, Outcome.INFERRED)
        return score

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
        before = self._sleep.state
        action = super().admit(packet)
        run = self._run
        woken = before is not Gate.AWAKE and action is Action.DECODE
        if woken:  # all groups of a tape are whole: only something seen in a glance makes a camera wait for a packet
            low = self.score < run.gated.gate.threshold and not self.statistics().reason
            self._by_heartbeat = before is Gate.WAKING and low
            cost_ns = sum(int(run.tape.cost_ns[kept.sequence]) for kept in self.kept())
            run.catch_ups.append((packet.sequence / FPS, cost_ns))
        if run.now >= run.since:
            run.wakes += woken
            run.glances += action is Action.GLANCE
        by_heartbeat = action is Action.DECODE and self._by_heartbeat
        run.heartbeat[packet.sequence] = action is Action.GLANCE or by_heartbeat
        return action


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
