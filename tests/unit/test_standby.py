"""Who answers while no worker does, from the frame's path to the alert: by hand, without threads or waiting."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.attention import Attention
from pipelines.contracts import SlotWriter
from pipelines.egress import CameraOut, Egress
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.inflight import InFlight
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.standby import Standby
from pipelines.standin.choice import Answerer
from pipelines.standin.options import DegradedOptions
from pipelines.transport.loopback import Loopback, loopback
from pipelines.values import U8, Answer, AnswerCode, Cause, FrameResult, ModelCard, Outcome, SlotHeader
from tests.fakes.camera import FakePresence, picture
from tests.fakes.lane import CARD, KeptEvents, one_box

S = 1_000_000_000
OWN_CARD = replace(CARD, name="own")
NO_ROWS = np.zeros((0, 6), np.float32)


class ByHand:
    """The own detector's outside: keeps what it is given. Implements what Standby asks of an OwnDetector."""

    def __init__(self) -> None:
        self.card: ModelCard = OWN_CARD
        self.given: list[tuple[SlotHeader, U8]] = []
        self.takes = 0

    @property
    def waiting(self) -> int:
        return len(self.given)

    def takes_ns(self, now_ns: int) -> int:
        return self.takes

    def submit(self, header: SlotHeader, payload: U8) -> None:
        self.given.append((header, payload))


@dataclass
class Bench:
    """One camera, a worker and an own detector that answer when told."""

    presence: FakePresence | None = field(default_factory=lambda: FakePresence(probability=0.9))
    own: bool = True

    def __post_init__(self) -> None:
        self.ledger, self.inflight = Ledger(), InFlight()
        self.standby = Standby(DegradedOptions(silence_ms=500, failures=1), self.inflight)
        self.sink = MemorySink(MemoryOptions(results=100))
        self.results: list[FrameResult] = []
        self.egress = Egress(
            self.inflight, [self.sink], self.results.append, lambda alert: None, lambda up, why: None, self.standby
        )
        self.tracker = EpisodeTracker("cam", EpisodeOptions(min_score=0.5))
        self.egress.add("cam", CameraOut(self.ledger, self.tracker, lambda advice: 0.4, Attention()))
        self.worker: Loopback = loopback(4, CARD, self.egress)
        self.detector, self.lane = ByHand(), loopback(2, OWN_CARD, KeptEvents())
        self.standby.tell = self.egress.by_presence
        if self.own:
            self.standby.equip(self.detector, self.lane.writer)  # type: ignore[arg-type]
        self.path = FramePath(
            PathParts(
                camera="cam",
                options=PathOptions(analyse_fps=0),
                ledger=self.ledger,
                motion=None,
                validity=None,
                presence=self.presence,
                presence_threshold=0.5,
                inflight=self.inflight,
                paced=True,
                auditor=None,
                keep_frame=False,
                picture=lambda cause: None,
                standby=self.standby,
            )
        )

    def show(self, luma: int = 100) -> None:
        now_ns = time.monotonic_ns()
        frame = replace(picture(0, 0, luma), sequence=self.ledger.enter(), arrival_ns=now_ns)
        self.path.frame(frame, now_ns, now_ns)

    def worker_answers(self, code: AnswerCode = AnswerCode.OK) -> None:
        taken = self.worker.reader.take()
        assert taken is not None
        self.worker.reader.answer(taken, code, one_box() if code is AnswerCode.OK else NO_ROWS, 1, 2)

    def own_answers(self, code: AnswerCode = AnswerCode.OK) -> None:
        header, _ = self.detector.given.pop(0)
        self.egress.by_own_detector(Answer(header.task, code, one_box() if code is AnswerCode.OK else NO_ROWS))

    @property
    def account(self) -> dict[tuple[Outcome, Cause | None], int]:
        """Outcomes with their causes."""
        reading = self.ledger.snapshot()
        assert reading.imbalance == 0
        caused = {of for of, _ in reading.causes}
        account: dict[tuple[Outcome, Cause | None], int] = dict(reading.causes.items())
        return account | {(of, None): n for of, n in reading.outcomes.items() if of not in caused}


DETECTED = (Outcome.DEGRADED, Cause.DETECTOR)
BY_PRESENCE = (Outcome.DEGRADED, Cause.PRESENCE)
INFERRED = (Outcome.INFERRED, None)


def test_while_a_worker_answers_nobody_else_does() -> None:
    b = Bench()
    b.show()
    b.worker_answers()
    assert b.account == {INFERRED: 1}
    assert b.results[0].degraded is None


@pytest.mark.parametrize("code", [AnswerCode.ENGINE_FAILED, AnswerCode.WATCHDOG, AnswerCode.BAD_OUTPUT])
def test_what_a_worker_fails_the_own_detector_answers_from_a_copy(code: AnswerCode) -> None:
    """The slot is free again with the answer, and gets another picture."""
    b = Bench()
    b.show(luma=200)
    b.worker_answers(code)
    (_, payload), slot = b.detector.given[0], b.worker.writer.loan(0)  # type: ignore[arg-type]
    assert slot is not None
    slot.payload[:] = 0
    assert payload[0] == 200
    b.own_answers()
    assert b.account == {DETECTED: 1}
    assert (b.results[0].degraded, b.results[0].model, b.results[0].class_names) == ("detector", "own", CARD.classes)
    assert len(b.results[0].detections) == 1


def test_what_a_lost_worker_had_is_answered_from_where_it_lies() -> None:
    b = Bench()
    b.show(luma=200)
    published = b.inflight.contexts()[0].payload
    assert published is not None
    b.worker.end("killed")
    ((_, payload),) = b.detector.given
    assert np.shares_memory(payload, published)
    assert payload[0] == 200
    b.own_answers()
    assert b.account == {DETECTED: 1}


def test_a_silent_worker_is_noticed_and_its_late_word_ends_it() -> None:
    b = Bench()
    b.show()
    now_ns = time.monotonic_ns()
    b.egress.look(now_ns + S // 4)
    assert not b.detector.given
    b.egress.look(now_ns + S * 6 // 10)
    b.egress.look(now_ns + S * 7 // 10)
    assert len(b.detector.given) == 1, "once"
    b.own_answers()
    b.show()
    assert b.lane.writer.statistics().published == 1, "the next frame goes to the own detector at once"
    b.worker_answers()
    assert b.egress.orphans == 1
    b.show()
    b.worker_answers()
    assert b.account == {DETECTED: 1, INFERRED: 1}


def test_whoever_answers_first_has_answered() -> None:
    b = Bench()
    b.show()
    b.egress.look(time.monotonic_ns() + S)
    b.worker_answers()
    b.own_answers()
    assert b.account == {INFERRED: 1}
    assert len(b.results) == 1


def test_what_it_sees_in_a_slot_that_was_given_back_is_not_used() -> None:
    """The worker fails the task while the own detector looks at its picture: another pump may write there now."""
    b = Bench()
    b.show()
    b.egress.look(time.monotonic_ns() + S * 6 // 10)
    b.worker_answers(AnswerCode.WATCHDOG)
    assert b.account == {BY_PRESENCE: 1}
    b.own_answers()
    assert b.account == {BY_PRESENCE: 1}
    assert len(b.results) == 1


def test_what_a_silent_worker_had_stays_with_the_own_detector_when_the_worker_is_lost() -> None:
    b = Bench()
    b.show()
    b.egress.look(time.monotonic_ns() + S * 6 // 10)
    b.worker.end("killed")
    assert b.account == {}
    b.own_answers()
    assert b.account == {DETECTED: 1}


def test_nobody_takes_over_from_a_silent_worker_what_nobody_can_answer() -> None:
    b = Bench(presence=None, own=False)
    b.show()
    b.egress.look(time.monotonic_ns() + S // 2 + 1)
    assert b.account == {}
    b.worker_answers()
    assert b.account == {INFERRED: 1}


def test_without_an_own_detector_presence_answers() -> None:
    b = Bench(own=False)
    b.worker.end("killed")
    b.show()
    assert b.account == {BY_PRESENCE: 1}
    (result,) = b.results
    assert (result.degraded, len(result.detections), result.present) == ("presence", 0, True)
    assert b.tracker.alive
    assert len(b.inflight) == 0


def test_presence_that_sees_nobody_is_an_answer_and_no_sighting() -> None:
    b = Bench(FakePresence(probability=0.1), own=False)
    b.worker.end("killed")
    b.show()  # the heartbeat's
    assert b.account == {BY_PRESENCE: 1}
    assert not b.tracker.alive


def test_presence_answers_where_the_own_detector_would_be_late_or_is_full() -> None:
    b = Bench()
    b.worker.end("killed")
    b.detector.takes = 2 * S
    b.show()
    assert b.account == {BY_PRESENCE: 1}
    b.detector.takes = 0
    for _ in range(3):
        b.show()
    assert b.account == {BY_PRESENCE: 2}
    assert b.lane.writer.statistics().published == 2


def test_an_own_detector_that_fails_leaves_it_to_presence_else_to_the_worker_s_cause() -> None:
    b = Bench()
    b.show()
    b.worker_answers(AnswerCode.WATCHDOG)
    b.own_answers(AnswerCode.ENGINE_FAILED)
    assert b.account == {BY_PRESENCE: 1}
    b = Bench(presence=None)
    b.show()
    b.worker_answers(AnswerCode.WATCHDOG)
    b.own_answers(AnswerCode.ENGINE_FAILED)
    assert b.account == {(Outcome.FAILED, Cause.WATCHDOG): 1}


def test_a_camera_that_is_removed_is_settled_whoever_has_its_tasks() -> None:
    b = Bench()
    b.show()
    b.worker.end("killed")
    b.egress.remove("cam")
    b.own_answers()
    assert b.account == {(Outcome.STOPPED, None): 1}
    assert b.standby.took_back(0) is None


def test_a_probe_that_finds_no_room_says_nothing_of_the_load() -> None:
    b = Bench()
    for _ in range(4):
        b.show()
    b.egress.look(time.monotonic_ns() + S)
    b.standby.watch._probed_ns = 0
    b.show()  # the probe: the worker holds all its slots
    assert b.account == {}
    assert b.lane.writer.statistics().published == 1


def test_a_worker_that_is_too_slow_is_not_taken_over_for() -> None:
    """Late answers are the load's matter, with an outcome of its own."""
    b = Bench()
    b.show()
    b.show()
    b.worker_answers(AnswerCode.LATE)
    b.egress.look(time.monotonic_ns() + S // 4)
    assert not b.detector.given
    assert b.account == {(Outcome.LATE, Cause.AT_WORKER): 1}


def test_the_snapshot_says_who_answers_since_when_and_why() -> None:
    b = Bench()
    now_ns = time.monotonic_ns()
    assert b.standby.changed(now_ns) is None
    assert b.standby.snapshot(now_ns).answerer is Answerer.WORKER
    b.worker.end("killed")
    assert b.standby.changed(now_ns) == "no worker is attached: killed"
    assert b.standby.changed(now_ns) is None
    told = b.standby.snapshot(now_ns + 2 * S)
    assert (told.answerer, told.losses, told.degraded_s, told.detector) == (Answerer.DETECTOR, 1, 2.0, "own")
    writer: SlotWriter = loopback(4, CARD, KeptEvents()).writer
    b.egress.attached(writer)
    assert b.standby.changed(now_ns + 3 * S) == ""
    assert b.standby.snapshot(now_ns + 9 * S).degraded_s == 3.0
