"""The own detector: two ways in, each task answered once, its share kept, and no error ends it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from pipelines.contracts import SlotWriter
from pipelines.preprocess.refit import refit
from pipelines.standin.detector import OwnAnswer, OwnDetector
from pipelines.transport.loopback import Loopback, loopback
from pipelines.values import Answer, AnswerCode, Priority
from tests.fakes.lane import CARD, KeptEvents, ToyEngine, header, one_box


class Bench:
    """A detector over a toy engine, its lane, and what it answered."""

    def __init__(self, cores: float = 64.0) -> None:
        self.engine = ToyEngine(max_batch=1)
        self.own: queue.SimpleQueue[OwnAnswer] = queue.SimpleQueue()
        self.events = KeptEvents()
        self.news = threading.Event()
        self.detector = OwnDetector(self.engine, cores, refit, self.own.put)
        self.lane: Loopback = loopback(4, CARD, self.events, readable=self.detector.wake)
        self.detector.start(self.lane.reader)
        self.warm_runs = len(self.engine.batches)

    def publish(self, task: int, deadline_ns: int = 1 << 62) -> None:
        writer: SlotWriter = self.lane.writer
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        assert writer.publish(slot, header(task, deadline_ns=deadline_ns))

    def lane_answers(self, count: int) -> list[Answer]:
        until = time.monotonic() + 5
        while len(self.events.answers) < count and time.monotonic() < until:
            threading.Event().wait(0.001)
        return self.events.answers


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.detector.close()


PICTURE = np.full(CARD.payload_bytes, 100, np.uint8)


def test_a_picture_of_its_own_lane_is_answered_in_the_lane(bench: Bench) -> None:
    bench.publish(7)
    (answer,) = bench.lane_answers(1)
    assert (answer.task, answer.code) == (7, AnswerCode.OK)
    assert np.array_equal(answer.rows[0], one_box()[0])
    assert bench.detector.waiting == 0


def test_a_task_that_a_worker_failed_is_answered_to_the_owner(bench: Bench) -> None:
    bench.detector.submit(header(8), PICTURE)
    own = bench.own.get(timeout=5)
    assert (own.answer.task, own.answer.code) == (8, AnswerCode.OK)
    assert own.fit == header(8).fit


def test_what_is_too_late_is_not_run(bench: Bench) -> None:
    bench.detector.submit(header(9, deadline_ns=1), PICTURE)
    bench.publish(10, deadline_ns=1)
    assert bench.own.get(timeout=5).answer.code is AnswerCode.LATE
    assert [answer.code for answer in bench.lane_answers(1)] == [AnswerCode.LATE]
    assert len(bench.engine.batches) == bench.warm_runs


def test_an_error_fails_its_picture_and_no_other(bench: Bench) -> None:
    def fail(size: int) -> None:
        raise ZeroDivisionError("bug")

    bench.engine.act = fail
    bench.detector.submit(header(1), PICTURE)
    assert bench.own.get(timeout=5).answer.code is AnswerCode.ENGINE_FAILED
    bench.engine.act = lambda size: None
    bench.detector.submit(header(2), PICTURE)
    assert bench.own.get(timeout=5).answer.code is AnswerCode.OK
    assert (bench.detector.failures, bench.detector.error) == (1, "ZeroDivisionError('bug')")


def test_what_waits_is_counted_and_served_in_order(bench: Bench) -> None:
    bench.engine.gate.clear()
    for task in (1, 2, 3):
        bench.detector.submit(header(task), PICTURE)
    bench.publish(4)
    assert bench.detector.waiting == 4
    assert bench.detector.takes_ns(time.monotonic_ns()) > 0
    bench.engine.gate.set()
    assert [bench.own.get(timeout=5).answer.task for _ in range(3)] == [1, 2, 3]
    assert [answer.task for answer in bench.lane_answers(1)] == [4]


def test_it_can_be_closed_while_things_wait() -> None:
    bench = Bench(cores=1e-6)
    burn = threading.Event()

    def work(size: int) -> None:
        until_ns = time.thread_time_ns() + 110_000_000  # beyond the burst: the next picture waits for long
        while time.thread_time_ns() < until_ns:
            pass
        burn.set()

    bench.engine.act = work
    bench.detector.submit(header(1), PICTURE)
    bench.detector.submit(header(2), PICTURE)
    assert burn.wait(10)
    assert bench.own.get(timeout=5).answer.task == 1
    bench.detector.close()
    assert bench.own.empty(), "its share was used up"
