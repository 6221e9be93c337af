"""The audit beside the pipe: what gates dropped is looked at anyway, in its own ledger, and is never kept silent."""

from __future__ import annotations

import random
import time

import numpy as np

from pipelines.accounting import Ledger
from pipelines.attention import Attention
from pipelines.contracts import GateSetting
from pipelines.egress import CameraOut, Egress
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.audit import Audit
from pipelines.gate.audit_control import ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions
from pipelines.gate.audit_window import AuditOptions
from pipelines.gate.auditor import Auditor
from pipelines.gate.open import OpenGate
from pipelines.inflight import InFlight
from pipelines.ingest import Pump, PumpParts
from pipelines.packetpath import PacketParts, PacketPath
from pipelines.sink.memory import MemorySink
from pipelines.source.backoff import Backoff
from pipelines.source.watch import StreamWatch
from pipelines.transport.loopback import Loopback
from pipelines.transport.options import LaneOptions
from pipelines.values import Action, AnswerCode, Frame, Outcome, Packet, Priority
from tests.fakes.camera import FakeDecoder, FakePresence, FakeSource, FakeStream, picture
from tests.fakes.lane import CARD, one_box

ALWAYS = AuditOptions(share=0.5, most_probability=1.0, boost=(8.0, 8.0, 8.0), burst_s=3600)


class Bench:
    """One camera whose presence model says nobody is there, an audit that draws every window, a worker by hand."""

    def __init__(self) -> None:
        self.audit = Audit(ALWAYS, EstimateOptions(), ControlOptions(), cores=1000)
        self.auditor = Auditor(self.audit, "cam", random.Random(1))
        self.ledger = Ledger()
        self.inflight = InFlight()
        self.sink = MemorySink()
        self.woken: list[int] = []
        self.egress = Egress(self.inflight, [self.sink], lambda result: None, lambda alert: None, lambda up, why: None)
        self.egress.add(
            "cam",
            CameraOut(
                self.ledger,
                EpisodeTracker("cam", EpisodeOptions(min_score=0.5)),
                lambda advice: 0.4,
                Attention(),
                audit=self.audit,
                wake=self.woken.append,
            ),
        )
        self.lane = Loopback(CARD, LaneOptions(slots=16, reserved_high=0, reserved_normal=0), self.egress)
        self.lane.attach()
        self.path = FramePath(
            PathParts(
                camera="cam",
                options=PathOptions(analyse_fps=0, heartbeat_s=1000),
                ledger=self.ledger,
                motion=None,
                validity=None,
                presence=FakePresence(probability=0.0),
                presence_threshold=0.5,
                inflight=self.inflight,
                paced=True,
                auditor=self.auditor,
                keep_frame=False,
                picture=lambda cause: None,
            )
        )

    def show(self, frame: Frame) -> None:
        now_ns = time.monotonic_ns()
        self.path.frame(frame, now_ns, now_ns)

    def answer_all(self, score: float) -> int:
        answered = 0
        while (taken := self.lane.reader.take()) is not None:
            self.lane.reader.answer(taken, AnswerCode.OK, one_box(score), 1, 2)
            answered += 1
        return answered

    def frame(self) -> Frame:
        now_ns = time.monotonic_ns()
        base = picture(self.ledger.enter(), 0)
        return Frame(base.sequence, now_ns, now_ns, False, base.y, base.u, base.v, base.color_range, base.color_matrix)

    @property
    def frames(self) -> dict[Outcome, int]:
        reading = self.audit.snapshot(time.monotonic_ns()).frames
        assert reading.imbalance == 0
        return dict(reading.outcomes)


async def test_an_empty_frame_keeps_its_outcome_and_is_looked_at_anyway() -> None:
    b = Bench()
    b.show(b.frame())  # the heartbeat's
    b.answer_all(0.1)
    b.show(b.frame())
    assert b.ledger.snapshot().outcomes == {Outcome.INFERRED: 1, Outcome.EMPTY: 1}
    assert b.answer_all(0.1) == 1
    assert b.frames == {Outcome.INFERRED: 1}
    assert b.ledger.snapshot().imbalance == 0
    assert not b.woken


async def test_what_the_audit_sees_is_told_and_wakes_the_camera() -> None:
    b = Bench()
    b.show(b.frame())
    b.answer_all(0.1)
    b.show(b.frame())
    b.answer_all(0.9)
    alert, *_ = [b.egress._queue.get_nowait()[0] for _ in range(b.egress._queue.qsize())]
    assert alert.source == "audit"
    assert len(b.woken) == 1
    b.egress.remove("cam")
    assert b.ledger.snapshot().in_flight == 0


async def test_a_lost_worker_settles_audited_frames_too() -> None:
    b = Bench()
    b.show(b.frame())
    b.show(b.frame())
    b.lane.end("killed")
    assert b.frames == {Outcome.FAILED: 1}
    assert b.ledger.snapshot().outcomes == {Outcome.DEGRADED: 1, Outcome.EMPTY: 1}, (
        "presence answers what is not audited"
    )
    b.show(b.frame())
    assert b.frames == {Outcome.FAILED: 2}


async def test_an_opened_gate_lets_everything_through() -> None:
    b = Bench()
    b.path.tune({Outcome.EMPTY: GateSetting(open_since_ns=1)})
    for _ in range(3):
        b.show(b.frame())
    assert b.ledger.snapshot().outcomes == {}
    assert b.answer_all(0.1) == 3


class Sleeper(OpenGate):
    """Never wakes."""

    def admit(self, packet: Packet) -> Action:
        return Action.SLEEP


async def test_sleeping_packets_are_decoded_for_the_audit_and_stay_asleep() -> None:
    b = Bench()
    decoders: list[FakeDecoder] = []

    def decoder() -> FakeDecoder:
        decoders.append(FakeDecoder())
        return decoders[-1]

    stream = FakeStream(b.ledger, 6, make_decoder=decoder, keys=(0, 3))
    packets = PacketParts(
        camera="cam",
        priority=Priority.NORMAL,
        ledger=b.ledger,
        gate=Sleeper(),
        path=b.path,
        auditor=b.auditor,
        share=None,
    )
    pump = Pump(
        PumpParts(
            camera="cam",
            source=FakeSource([stream]),
            packets=PacketPath(packets),
            watch=StreamWatch,
            backoff=Backoff(),
            turn_s=lambda: 0.0,
            tell=lambda health: None,
        )
    )
    pump.start()
    assert pump.join(5)
    assert b.ledger.snapshot().outcomes == {Outcome.ASLEEP: 6}
    assert len(decoders) == 1
    assert decoders[0].closed
    audited = b.audit.snapshot(time.monotonic_ns()).frames
    assert audited.packets == 6
    assert np.all(audited.imbalance == 0)
