"""From a decoded picture to its slot, or to the one outcome that says why not."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.motion import MotionGate, MotionVerdict
from pipelines.inflight import InFlight
from pipelines.prefilter.validity import Validity, ValidityOptions
from pipelines.transport.loopback import Loopback, loopback
from pipelines.values import U8, Cause, Frame, Outcome, Priority
from tests.fakes.camera import FakePresence, picture
from tests.fakes.lane import CARD, KeptEvents


class FixedMotion(MotionGate):
    """Says always the same."""

    def __init__(self, moving: bool, scene_change: bool = False) -> None:
        self._verdict = MotionVerdict(moving, moving, 0.0, scene_change)

    def update(self, thumbnail: U8, time_ns: int) -> MotionVerdict:
        return self._verdict


class Bench:
    """A path with everything open, over a loopback lane; tests close what they ask about."""

    def __init__(self, slots: int = 4, **changes: object) -> None:
        self.ledger = Ledger()
        self.inflight = InFlight()
        self.lane: Loopback = loopback(slots, CARD, KeptEvents())
        self.inflight.writer = self.lane.writer
        self.pictures: list[Cause | None] = []
        parts = PathParts(
            camera="cam",
            options=PathOptions(analyse_fps=0),
            ledger=self.ledger,
            motion=None,
            validity=None,
            presence=None,
            presence_threshold=0.5,
            inflight=self.inflight,
            paced=True,
            auditor=None,
            keep_frame=False,
            picture=self.pictures.append,
        )
        self.path = FramePath(replace(parts, **changes))  # type: ignore[arg-type]
        self.start_ns = time.monotonic_ns()

    def show(self, frame: Frame) -> None:
        """One frame, arriving now plus its own time."""
        sequence = self.ledger.enter()
        arrival_ns = self.start_ns + frame.arrival_ns
        now_ns = time.monotonic_ns()
        self.path.frame(replace(frame, sequence=sequence, arrival_ns=arrival_ns), now_ns, now_ns)

    @property
    def outcomes(self) -> dict[Outcome, int]:
        reading = self.ledger.snapshot()
        assert reading.imbalance == 0
        return dict(reading.outcomes)


def test_an_open_path_publishes_and_says_all_the_worker_needs() -> None:
    bench = Bench()
    bench.show(picture(0, 0, luma=200))
    taken = bench.lane.reader.take()
    assert taken is not None
    assert (taken.header.camera, taken.header.model) == ("cam", "toy")
    assert taken.header.fit.content_w == 32
    assert taken.header.deadline_ns - taken.header.arrival_ns == 1_000_000_000
    assert np.all(taken.payload[: 32 * 16] == 200)
    assert bench.outcomes == {}
    context = bench.inflight.close(taken.header.task)
    assert context is not None
    assert context.frame is None
    assert context.timeline.arrival_ns <= context.timeline.published_ns


def test_frames_above_the_rate_are_paced() -> None:
    bench = Bench(options=PathOptions(analyse_fps=5), slots=16)
    for n in range(25):
        bench.show(picture(n, n * 40))
    assert bench.outcomes == {Outcome.PACED: 20}


def test_full_ring_drops_and_counts() -> None:
    """A stalled worker must cost frames, never memory or latency."""
    bench = Bench(slots=2)
    for n in range(5):
        bench.show(picture(n, n * 40))
    assert bench.outcomes == {Outcome.RING_FULL: 3}
    assert len(bench.inflight) == 2


def test_no_worker_fails_with_its_cause() -> None:
    bench = Bench()
    bench.inflight.writer = None
    bench.show(picture(0, 0))
    assert bench.ledger.snapshot().causes == {(Outcome.FAILED, Cause.NO_WORKER): 1}


def test_what_is_late_already_is_not_resized() -> None:
    bench = Bench()
    bench.show(picture(0, -5000))
    assert bench.ledger.snapshot().causes == {(Outcome.LATE, Cause.AT_PUBLISH): 1}
    assert bench.lane.writer.statistics().loaned == 0


def test_a_worker_that_answers_too_slowly_makes_frames_late_before_the_work() -> None:
    bench = Bench()
    bench.inflight.observe_turnaround(3_000_000_000)
    bench.show(picture(0, 0))
    bench.show(picture(1, 40))
    assert bench.outcomes == {Outcome.LATE: 1}
    assert len(bench.inflight) == 1, "the first goes, as nothing is in flight: its answer may correct the figure"


def test_still_frames_feed_the_background_and_end_there() -> None:
    presence = FakePresence()
    bench = Bench(motion=FixedMotion(False), presence=presence, options=PathOptions(analyse_fps=0))
    bench.show(picture(0, 0))  # the heartbeat's first
    bench.show(picture(1, 40))
    assert bench.outcomes == {Outcome.STILL: 1}
    assert (presence.asked, presence.observed) == (1, 1)


def test_the_heartbeat_passes_all_gates() -> None:
    bench = Bench(motion=FixedMotion(False), slots=16, options=PathOptions(analyse_fps=0, heartbeat_s=1))
    for n in range(26):
        bench.show(picture(n, n * 200))
    assert len(bench.inflight) == 6  # 0, 1, 2, 3, 4, 5 s


def test_empty_frames_end_at_presence_unless_it_is_still_learning() -> None:
    presence = FakePresence(probability=0.1)
    bench = Bench(presence=presence)
    bench.show(picture(0, 0))  # the heartbeat's
    bench.show(picture(1, 40))
    assert bench.outcomes == {Outcome.EMPTY: 1}
    presence.is_ready = False
    bench.show(picture(2, 80))
    assert bench.outcomes == {Outcome.EMPTY: 1}
    assert len(bench.inflight) == 2


def test_a_living_episode_lets_some_still_frames_pass() -> None:
    bench = Bench(motion=FixedMotion(False), slots=64, options=PathOptions(analyse_fps=0, alive_fps=2, heartbeat_s=100))
    bench.path.attention.alive = True
    for n in range(50):
        bench.show(picture(n, n * 40))
    assert len(bench.inflight) == 4


def test_a_scene_change_makes_presence_learn_anew() -> None:
    presence = FakePresence()
    bench = Bench(motion=FixedMotion(True, scene_change=True), presence=presence)
    before = presence.resets
    bench.show(picture(0, 0))
    assert presence.resets == before + 1


def test_an_invalid_picture_is_told_once_and_when_it_is_sound_again() -> None:
    bench = Bench(validity=Validity(ValidityOptions()), slots=16)
    scene = np.tile(np.arange(64, dtype=np.uint8) * 3, (32, 1))
    rng = np.random.default_rng(1)
    for n in range(12):
        grain = rng.integers(0, 4, scene.shape, np.uint8)
        bench.show(picture(n, n * 500, luma=np.zeros_like(scene) + 16 if 4 <= n < 8 else scene + grain))
    assert bench.pictures[:1] == [Cause.BLACK]
    assert bench.pictures[-1] is None
    assert bench.ledger.snapshot().causes[Outcome.INVALID, Cause.BLACK] >= 2


def test_a_file_read_fast_waits_for_a_slot_instead_of_dropping() -> None:
    bench = Bench(slots=1, paced=False)
    bench.show(picture(0, 0))
    pump = threading.Thread(target=bench.show, args=(picture(1, 40),))
    pump.start()
    taken = bench.lane.reader.take()
    assert taken is not None
    bench.lane.reader.answer(taken, 0, np.zeros((0, 6), np.float32), 0, 0)  # type: ignore[arg-type]
    pump.join(5)
    assert not pump.is_alive()
    assert bench.outcomes == {}
    assert len(bench.inflight) == 2


def test_a_waiting_file_lets_go_when_stopped() -> None:
    bench = Bench(slots=1, paced=False)
    bench.show(picture(0, 0))
    pump = threading.Thread(target=bench.show, args=(picture(1, 40),))
    pump.start()
    bench.path.stop()
    pump.join(5)
    assert bench.outcomes == {Outcome.STOPPED: 1}


def test_a_change_of_size_in_mid_stream_changes_the_geometry() -> None:
    bench = Bench()
    bench.show(picture(0, 0))
    bench.show(picture(1, 40, wh=(32, 64)))
    first, second = bench.lane.reader.take(), bench.lane.reader.take()
    assert first is not None
    assert second is not None
    assert (first.header.fit.content_w, second.header.fit.content_w) == (32, 8)


def test_the_picture_is_kept_only_where_a_snapshot_may_be_wanted() -> None:
    bench = Bench(keep_frame=True)
    bench.show(picture(0, 0))
    (task,) = bench.inflight.tasks()
    context = bench.inflight.close(task)
    assert context is not None
    assert context.frame is not None


def test_priority_travels() -> None:
    bench = Bench(options=PathOptions(analyse_fps=0, priority=Priority.HIGH))
    bench.show(picture(0, 0))
    taken = bench.lane.reader.take()
    assert taken is not None
    assert taken.header.priority is Priority.HIGH


@pytest.mark.parametrize("lost_first", [True, False])
def test_a_lane_lost_between_loan_and_publish_settles_once(lost_first: bool) -> None:
    bench = Bench()
    original = bench.lane.writer.publish

    def lose_then_publish(slot: object, header: object) -> bool:
        bench.lane.writer.lose()
        if lost_first:
            bench.inflight.writer = None
        return original(slot, header)  # type: ignore[arg-type]

    bench.lane.writer.publish = lose_then_publish  # type: ignore[method-assign]
    bench.show(picture(0, 0))
    assert sum(bench.outcomes.values()) == 1
    assert len(bench.inflight) == 0
