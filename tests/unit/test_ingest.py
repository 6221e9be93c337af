"""The pump: every packet settled through reconnects, stalls, corrupt data, ends of files and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.budget_cost import DecodeWork
from pipelines.gate.budget_terms import BudgetOptions
from pipelines.gate.open import OpenGate
from pipelines.gate.share import DecodeShare
from pipelines.inflight import InFlight
from pipelines.ingest import Pump, PumpParts
from pipelines.packetpath import PacketParts, PacketPath
from pipelines.source.backoff import Backoff, BackoffOptions
from pipelines.source.watch import StreamWatch, WatchOptions
from pipelines.values import Action, CameraHealth, CameraState, Cause, Outcome, Packet, Priority
from tests.fakes.camera import FakeDecoder, FakeSource, FakeStream


class ScriptedGate(OpenGate):
    """Does what the script says, packet by packet: d(ecode), g(lance), anything else: asleep."""

    def __init__(self, script: str, near: Sequence[float] = ()) -> None:
        """near: of each packet, how near it is to waking the camera; empty: not near."""
        super().__init__()
        self._near, self._nearness = list(near), 0.0
        self._decoding = False
        self._actions = [{"d": Action.DECODE, "g": Action.GLANCE}.get(letter, Action.SLEEP) for letter in script]
        self._kept: list[Packet] = []
        self.seen_ns: list[int] = []

    @property
    def decoding(self) -> bool:
        return self._decoding

    @property
    def nearness(self) -> float:
        return self._nearness

    def admit(self, packet: Packet) -> Action:
        self._kept = [packet] if packet.is_keyframe else [*self._kept, packet]
        self._nearness = self._near.pop(0) if self._near else 0.0
        action = self._actions[packet.sequence]
        self._decoding = action is Action.DECODE
        return action

    @property
    def whole(self) -> bool:
        return bool(self._kept) and self._kept[0].is_keyframe

    def kept(self) -> Sequence[Packet]:
        return self._kept[:-1]

    def seen(self, time_ns: int) -> None:
        self.seen_ns.append(time_ns)


class ScriptedShare(DecodeShare):
    """Grants by the script, one letter per question: g(ranted), else refused."""

    def __init__(self, script: str) -> None:
        super().__init__(BudgetOptions(cores=1))
        self._answers = list(script)
        self.work: list[DecodeWork] = []

    def refusal(self, camera: str, value: float, priority: Priority, now_ns: int) -> Cause | None:
        return None if self._answers.pop(0) == "g" else Cause.OVER_BUDGET

    def spent(self, camera: str, cpu_s: float, now_ns: int, work: DecodeWork) -> None:
        self.work.append(work)


class BusyShare(ScriptedShare):
    """Grants all; who wants to catch up gets a turn by the script, one letter per question: g(iven), else not."""

    def __init__(self, script: str) -> None:
        super().__init__("g" * 100)
        self._turns = list(script)
        self.timeouts_s: list[float] = []

    @contextmanager
    def permit(self, camera: str, arrival_ns: int, timeout_s: float) -> Iterator[bool]:
        self.timeouts_s.append(timeout_s)
        yield self._turns.pop(0) == "g"


class Bench:
    """One pump over fakes. Without a worker, every frame that comes through is failed(no_worker)."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.told: list[CameraHealth] = []
        self._news = threading.Condition()

    def pump(self, source: FakeSource, **changes: object) -> Pump:
        path = FramePath(
            PathParts(
                camera="cam", options=PathOptions(analyse_fps=0), ledger=self.ledger, motion=None, validity=None,
                presence=None, presence_threshold=0.5, inflight=InFlight(), paced=source.paced,
                auditor=None, keep_frame=False,
                picture=lambda cause: None,
            )
        )  # fmt: skip
        for_packets = {name: changes.pop(name) for name in ("gate", "share") if name in changes}
        packets = PacketParts(
            camera="cam",
            priority=Priority.NORMAL,
            ledger=self.ledger,
            gate=OpenGate(),
            path=path,
            auditor=None,
            share=None,
        )
        parts = PumpParts(
            camera="cam",
            source=source,
            packets=PacketPath(replace(packets, **for_packets)),  # type: ignore[arg-type]
            watch=lambda now_ns: StreamWatch(now_ns, WatchOptions(no_packet_timeout_s=1)),
            backoff=Backoff(BackoffOptions(first_s=0.001, max_s=0.001)),
            turn_s=lambda: 0.0,
            tell=self._tell,
        )
        return Pump(replace(parts, **changes))  # type: ignore[arg-type]

    def _tell(self, health: CameraHealth) -> None:
        with self._news:
            self.told.append(health)
            self._news.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(condition, 5)

    def states(self) -> list[CameraState]:
        return [health.state for health in self.told]

    def run_to_end(self, pump: Pump) -> None:
        pump.start()
        assert pump.join(5)
        reading = self.ledger.snapshot()
        assert reading.imbalance == 0
        assert reading.in_flight == 0

    @property
    def outcomes(self) -> dict[Outcome, int]:
        return dict(self.ledger.snapshot().outcomes)


def test_a_file_is_read_to_its_end_and_nothing_is_left() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 10, make_decoder=lambda: FakeDecoder(delay=3))
    bench.run_to_end(bench.pump(FakeSource([stream])))
    assert bench.outcomes == {Outcome.FAILED: 10}
    assert bench.states() == [CameraState.CONNECTING, CameraState.LIVE, CameraState.ENDED]
    assert stream.closed


def test_corrupt_packets_are_counted_with_their_cause() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 10, make_decoder=lambda: FakeDecoder(bad=frozenset({3, 4})))
    bench.run_to_end(bench.pump(FakeSource([stream])))
    assert bench.ledger.snapshot().causes[Outcome.UNDECODABLE, Cause.CORRUPT] == 2


@pytest.mark.parametrize("delay", [0, 2])
def test_sleeping_packets_are_settled_at_once_and_a_catch_up_gives_nothing_twice(delay: int) -> None:
    """Awake, asleep, woken in the middle of a group: frames of packets from before the trigger do not go on."""
    bench = Bench()
    decoders: list[FakeDecoder] = []

    def decoder() -> FakeDecoder:
        decoders.append(FakeDecoder(delay=delay))
        return decoders[-1]

    gate = ScriptedGate("dddsxxxxdddsxx")
    pump = bench.pump(FakeSource([FakeStream(bench.ledger, 14, make_decoder=decoder)]), gate=gate)
    bench.run_to_end(pump)
    assert bench.outcomes == {Outcome.FAILED: 6, Outcome.ASLEEP: 8}
    assert pump.packets.decoded == 6
    assert len(decoders) == 2
    assert all(d.closed for d in decoders)
    assert len(gate.seen_ns) == 6


def test_packets_of_a_sleeper_may_gather_until_it_is_near_to_waking() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 7)
    gate = ScriptedGate("ssssddd", near=[0.1, 0.7, 0.5, 0.9, 1.1, 1.0, 1.0])
    bench.run_to_end(bench.pump(FakeSource([stream]), gate=gate))
    at_once = [wanted_ns == 0 for wanted_ns in stream.wanted_ns]
    assert at_once[1:5] == [False, True, False, True]


def test_what_the_budget_refuses_is_shed_and_a_grant_catches_up() -> None:
    bench = Bench()
    decoders: list[FakeDecoder] = []

    def decoder() -> FakeDecoder:
        decoders.append(FakeDecoder(delay=1))
        return decoders[-1]

    share = ScriptedShare("ggrrggg")
    gate = ScriptedGate("ddddddd")
    source = FakeSource([FakeStream(bench.ledger, 7, make_decoder=decoder)])
    bench.run_to_end(bench.pump(source, gate=gate, share=share))
    assert bench.outcomes == {Outcome.FAILED: 5, Outcome.SHED: 2}
    assert len(decoders) == 2
    live, caught_up = share.work.count(DecodeWork.LIVE), share.work.count(DecodeWork.CATCH_UP)
    assert (live, caught_up) == (5, 4)


def test_a_grant_in_the_middle_of_a_group_that_was_not_kept_waits_for_a_key_frame() -> None:
    bench = Bench()
    gate = ScriptedGate("dddddd")
    stream = FakeStream(bench.ledger, 6, keys=(4,))
    bench.run_to_end(bench.pump(FakeSource([stream]), gate=gate, share=ScriptedShare("rrgggg")))
    assert bench.outcomes == {Outcome.SHED: 4, Outcome.FAILED: 2}
    causes = bench.ledger.snapshot().causes
    assert causes[Outcome.SHED, Cause.OVER_BUDGET] == causes[Outcome.SHED, Cause.NO_KEY_FRAME] == 2


def test_a_camera_whose_turn_to_catch_up_does_not_come_sheds_and_reads_on() -> None:
    bench = Bench()
    share = BusyShare("-g")
    gate = ScriptedGate("xx" + "d" * 48)
    pump = bench.pump(FakeSource([FakeStream(bench.ledger, 50)]), gate=gate, share=share)
    bench.run_to_end(pump)
    assert bench.outcomes == {Outcome.ASLEEP: 2, Outcome.SHED: 25, Outcome.FAILED: 23}, "a second until it asks again"
    assert bench.ledger.snapshot().causes[Outcome.SHED, Cause.NO_TURN] == 25
    assert share.work.count(DecodeWork.CATCH_UP) == 27, "asleep and shed, once it was let in"
    assert len(share.timeouts_s) == 2
    assert all(timeout_s >= 0 for timeout_s in share.timeouts_s)


def test_a_camera_that_missed_its_turn_goes_on_at_a_key_frame() -> None:
    bench = Bench()
    share = BusyShare("-")
    stream = FakeStream(bench.ledger, 8, keys=(0, 5))
    bench.run_to_end(bench.pump(FakeSource([stream]), gate=ScriptedGate("xxdddddd"), share=share))
    assert bench.outcomes == {Outcome.ASLEEP: 2, Outcome.SHED: 3, Outcome.FAILED: 3}


def test_a_camera_that_is_behind_sheds_what_would_be_answered_late() -> None:
    bench = Bench()
    share = ScriptedShare("")
    stream = FakeStream(bench.ledger, 5, began_ns=time.monotonic_ns() - 60_000_000_000)
    bench.run_to_end(bench.pump(FakeSource([stream]), gate=ScriptedGate("dddgd"), share=share))
    assert bench.outcomes == {Outcome.SHED: 4, Outcome.FAILED: 1}, "the heartbeat's key frame is one in fifteen seconds"
    assert bench.ledger.snapshot().causes[Outcome.SHED, Cause.BEHIND] == 4
    assert CameraState.LIVE in bench.states()


def test_packets_before_the_first_key_frame_are_undecodable() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 4, keys=(2,))
    bench.run_to_end(bench.pump(FakeSource([stream]), gate=ScriptedGate("dddd")))
    assert bench.ledger.snapshot().causes[Outcome.UNDECODABLE, Cause.NO_KEY_FRAME] == 2


def test_a_glance_decodes_one_key_frame_and_lets_the_decoder_go() -> None:
    bench = Bench()
    gate = ScriptedGate("gxxxg")
    pump = bench.pump(FakeSource([FakeStream(bench.ledger, 5, make_decoder=lambda: FakeDecoder(delay=1))]), gate=gate)
    bench.run_to_end(pump)
    assert bench.outcomes == {Outcome.FAILED: 2, Outcome.ASLEEP: 3}


def test_a_camera_that_sleeps_from_the_start_is_live() -> None:
    bench = Bench()
    pump = bench.pump(FakeSource([FakeStream(bench.ledger, 3)]), gate=ScriptedGate("xxx"))
    bench.run_to_end(pump)
    assert CameraState.LIVE in bench.states()


def test_a_lost_connection_is_flushed_counted_and_tried_again() -> None:
    bench = Bench()
    first = FakeStream(bench.ledger, 5, then="connection reset", make_decoder=lambda: FakeDecoder(delay=2))
    second = FakeStream(bench.ledger, 4)
    pump = bench.pump(FakeSource([first, SourceError("refused"), second]))
    bench.run_to_end(pump)
    assert bench.ledger.snapshot().causes[Outcome.UNDECODABLE, Cause.FLUSHED] == 2
    assert pump.connects == 2
    reasons = [h.reason for h in bench.told if h.state is CameraState.BACKOFF]
    assert [r.split(";")[0] for r in reasons] == ["connection reset", "refused"]
    assert first.closed


def test_a_silent_stream_is_called_stalled_and_broken() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 2, then="silence")
    pump = bench.pump(FakeSource([stream, FakeStream(bench.ledger, 1)]))
    pump.start()
    assert stream.silent.wait(5)
    pump.tick(time.monotonic_ns())
    assert pump.state is CameraState.LIVE
    pump.tick(time.monotonic_ns() + 2_000_000_000)
    assert pump.join(5)
    assert bench.states() == [
        CameraState.CONNECTING, CameraState.LIVE, CameraState.STALLED, CameraState.BACKOFF,
        CameraState.CONNECTING, CameraState.LIVE, CameraState.ENDED,
    ]  # fmt: skip
    assert bench.ledger.snapshot().in_flight == 0


def test_stop_ends_a_blocked_read_and_settles_what_the_decoder_holds() -> None:
    bench = Bench()
    stream = FakeStream(bench.ledger, 5, then="silence", make_decoder=lambda: FakeDecoder(delay=2))
    pump = bench.pump(FakeSource([stream]))
    pump.start()
    assert stream.silent.wait(5)
    pump.stop()
    assert pump.join(2)
    assert bench.outcomes == {Outcome.FAILED: 3, Outcome.STOPPED: 2}
    assert bench.states()[-1] is CameraState.STOPPED


def test_stop_ends_a_blocked_open_and_a_back_off() -> None:
    blocked = Bench()
    source = FakeSource([])
    pump = blocked.pump(source)
    pump.start()
    blocked.wait(lambda: CameraState.CONNECTING in blocked.states())
    pump.stop()
    assert pump.join(2)

    waiting = Bench()
    pump = waiting.pump(FakeSource([SourceError("no route")]), backoff=Backoff(BackoffOptions(first_s=60, max_s=60)))
    pump.start()
    waiting.wait(lambda: CameraState.BACKOFF in waiting.states())
    pump.stop()
    assert pump.join(2)


def test_a_bug_in_a_pump_is_told_and_kept() -> None:
    bench = Bench()

    def explode() -> FakeDecoder:
        raise ZeroDivisionError("bug")

    pump = bench.pump(FakeSource([FakeStream(bench.ledger, 1, make_decoder=explode)]))
    pump.start()
    assert pump.join(5)
    assert isinstance(pump.error, ZeroDivisionError)
    assert bench.states()[-1] is CameraState.BACKOFF
    assert "internal error" in bench.told[-1].reason
