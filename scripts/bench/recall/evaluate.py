"""Every gate and every baseline over one scene, at every setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.gate.audit_window import AuditOptions
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.score import Scorer
from pipelines.prefilter.presence import PresenceModel
from scripts.bench.recall.baseline import FixedSize, Sampled, every_nth, every_nth_key, sizes_bytes
from scripts.bench.recall.curve import Point
from scripts.bench.recall.event import Event, Hit, events, hits
from scripts.bench.recall.learned import Learned
from scripts.bench.recall.mean import Mean
from scripts.bench.recall.prepare import Scores
from scripts.bench.recall.replay import Gated, MakePredictor, Replay, gate_us_per_packet, replay
from scripts.bench.recall.tape import Tape
from scripts.bench.scenes.picture import FPS, Source

SINCE_S = 30.0
"""Cameras learn their quiet once in their life; the first seconds of a timeline are left out of every figure."""
THRESHOLDS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0)
NTH = (1, 2, 3, 5, 8, 12, 15, 20, 25, 40, 50, 75, 100, 150, 375)
_GATE_PACKETS = 4000
AUDIT_CORES = AuditOptions().share * 2 / 64
"""What the audit may spend on one of 64 cameras that share two cores. The gates that have an audit are charged all of
it as decoding; what the audit finds counts for nobody."""

PREDICTORS: Mapping[str, tuple[MakePredictor, Mapping[str, object]]] = {
    "envelope": (Scorer, {}),
    "complexity": (Mean, {}),
    "size": (Mean, {"ln_per_qp": 0.0}),
    "learned": (Learned, {}),
}
"""Judges of packets that are compared at equal cost: how to make one, and the options it wants."""
OURS = "envelope"
"""The one that the product ships."""
BASELINES = ("every_nth", "key_frames", "fixed_size", "motion")


@dataclass(frozen=True, slots=True)
class Shipped:
    """The product as it is shipped, on one scene."""

    point: Point
    wake_ms: tuple[float, ...]
    """Of each hit: from the reference's first detection to ours, and the catch-up decode."""
    wakes: int
    imbalance: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One scene."""

    name: str
    kind: str
    held_out: bool
    activity: float
    """Share of the scored time in which somebody may be in the picture."""
    events: int
    unseen: int
    """Visits the reference never saw: no events."""
    ceiling: float | None
    """Event recall when everything is decoded and analysed at the product's rate."""
    curves: Mapping[str, tuple[Point, ...]]
    """By predictor and baseline."""
    shipped: Shipped
    gate_us_per_packet: float
    bitrate_bps: float


@dataclass(frozen=True, slots=True, eq=False)
class SceneTape:
    """One scene, ready to be gated."""

    name: str
    source: Source
    held_out: bool
    tape: Tape
    reference: Scores
    """(n,) by picture: the detector's best score in the pristine picture."""
    threshold: float
    """Of the detector."""


def evaluate(
    scene: SceneTape, options: Mapping[str, object], presence: PresenceModel, tick: Callable[[], None]
) -> Evaluated:
    """Sweep everything. Takes some 0.1 to 0.4 s per setting and 100 s of tape. options: of the product's gate."""
    source, tape = scene.source, scene.tape
    seen_s = (np.flatnonzero(scene.reference >= scene.threshold) / FPS).tolist()
    wanted, unseen = events(source.active_s(), seen_s, SINCE_S)
    sweep = _Sweep(scene, wanted, presence, tick)
    curves = {
        name: sweep.gate(make, {**options, **own}, THRESHOLDS, AUDIT_CORES) for name, (make, own) in PREDICTORS.items()
    }
    curves["fixed_size"] = sweep.gate(FixedSize, options, list(sizes_bytes()))
    curves["motion"] = (sweep.point(0.0, sweep.run(Gated(open=True))),)
    curves["every_nth"] = sweep.sampled(every_nth)
    curves["key_frames"] = sweep.sampled(every_nth_key)
    shipped = PacketGateOptions.model_validate(options)
    return Evaluated(
        name=scene.name,
        kind=source.name,
        held_out=scene.held_out,
        activity=_activity(source),
        events=len(wanted),
        unseen=unseen,
        ceiling=curves["motion"][0].recall,
        curves=curves,
        shipped=sweep.shipped(shipped),
        gate_us_per_packet=gate_us_per_packet(tape, shipped, _GATE_PACKETS),
        bitrate_bps=8 * sum(map(len, tape.payloads)) / source.seconds,
    )


def _activity(source: Source) -> float:
    busy = sum(end - begin for begin, end in source.active_s() if begin >= SINCE_S)
    return busy / (source.seconds - SINCE_S)


class _Sweep:
    """Gates over one scene."""

    def __init__(
        self, scene: SceneTape, wanted: Sequence[Event], presence: PresenceModel, tick: Callable[[], None]
    ) -> None:
        self._scene = scene
        self._wanted = wanted
        self._presence = presence
        self._tick = tick

    def run(self, gated: Gated) -> Replay:
        self._tick()
        return replay(self._scene.tape, gated, self._presence, self._scene.threshold, SINCE_S)

    def point(self, setting: float, done: Replay, audit_cores: float = 0.0) -> Point:
        audit_ns = round(audit_cores * (self._scene.source.seconds - SINCE_S) * 1e9)
        return _counted(setting, done.decode_ns + audit_ns, done.full_ns, hits(self._wanted, done.detections))

    def gate(
        self, make: MakePredictor, options: Mapping[str, object], settings: Sequence[float], audit_cores: float = 0.0
    ) -> tuple[Point, ...]:
        """One predictor at each threshold."""
        gates = [PacketGateOptions.model_validate({**options, "threshold": setting}) for setting in settings]
        return tuple(self.point(gate.threshold, self.run(Gated(gate, make)), audit_cores) for gate in gates)

    def sampled(self, take: Callable[[Tape, int, float, float], Sampled]) -> tuple[Point, ...]:
        """A fixed choice of pictures, at each step."""
        tape, threshold = self._scene.tape, self._scene.threshold
        full_ns = tape.full_ns(SINCE_S)
        chosen = [(n, take(tape, n, threshold, SINCE_S)) for n in NTH]
        return tuple(_counted(n, one.decode_ns, full_ns, hits(self._wanted, one.detections)) for n, one in chosen)

    def shipped(self, gate: PacketGateOptions) -> Shipped:
        """The product at its own threshold."""
        done = self.run(Gated(gate))
        met = hits(self._wanted, done.detections)
        wake_ms = tuple(
            max(0.0, hit.delay_s) * 1e3 + done.catch_up_before(hit.time_s) / 1e6
            for hit in met
            if hit.delay_s is not None
        )
        return Shipped(self.point(gate.threshold, done, AUDIT_CORES), wake_ms, done.wakes, done.imbalance)


def _counted(setting: float, decode_ns: int, full_ns: int, met: Sequence[Hit]) -> Point:
    own = sum(hit.delay_s is not None and not hit.heartbeat for hit in met)
    return Point(setting, decode_ns, full_ns, len(met), own, sum(hit.heartbeat for hit in met))
