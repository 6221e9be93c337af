"""This process's own detector, for while no worker answers: one thread, a fixed share of CPU, lower priority.

Work comes two ways: pictures that pumps publish into its own lane because no worker is there, and tasks that a worker
has failed, whose pictures lie in that worker's lane still (or were copied out of it when it answered that it failed).

Whatever goes wrong with one picture fails that picture, and is counted.

Order: tasks of workers first, as they have waited longer. Bound: the own lane's slots, and the tasks that workers had;
whoever submits asks `takes_ns` first, so that none waits beyond its deadline.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.color import affine
from pipelines.contracts import Engine, SlotReader
from pipelines.standin.allowance import Allowance
from pipelines.values import F32, U8, Answer, AnswerCode, ColorMatrix, ColorRange, Letterbox, ModelCard, SlotHeader

_NICE = 10
"""Added to its thread's: what the gates need, they get first."""
_NO_ROWS: F32 = np.zeros((0, 6), np.float32)
_WARM_RUNS = 3

Fitted = Callable[[U8, SlotHeader, ModelCard], tuple[U8, Letterbox]]
"""A picture made for another model's input, for this one's; and where the source lies in it."""


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What it found in one picture."""

    answer: Answer
    fit: Letterbox
    """Of the picture that it saw: the answer's rows are in its pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    header: SlotHeader
    payload: U8


class OwnDetector:
    """One engine and its thread. `submit` and `wake` from any thread; answers are given in its own."""

    def __init__(self, engine: Engine, cores: float, fitted: Fitted, answered: Callable[[OwnAnswer], None]) -> None:
        """
        Args:
            engine: Its `infer` is called with one picture at a time.
            cores: CPU that it may take.
            answered: Told of each task that was submitted or read from the lane, once.
        """
        self._engine, self._fitted, self._tell = engine, fitted, answered
        self._allowance = Allowance(cores)
        self._reader: SlotReader | None = None
        self._work: deque[_Work] = deque()
        self._bells = 0
        self._news = threading.Condition()
        self._stopping = False
        self.failures = 0
        self.error = ""
        """The latest one."""
        self._affine: dict[tuple[ColorRange, ColorMatrix], F32] = {}
        self._thread = threading.Thread(target=self._run, name="own-detector", daemon=True)

    @property
    def card(self) -> ModelCard:
        return self._engine.card

    @property
    def waiting(self) -> int:
        """Pictures that are not answered yet."""
        return len(self._work) + self._bells

    def takes_ns(self, now_ns: int) -> int:
        """From now to the answer of one more picture. Any thread."""
        return self._allowance.takes_ns(self.waiting, now_ns)

    def start(self, reader: SlotReader) -> None:
        """Run a few times on nothing, so that its cost is known, and begin. Blocks. `reader`: of its own lane."""
        self._reader = reader
        card = self.card
        blank = np.full(card.payload_bytes, 128, np.uint8)
        for run in range(_WARM_RUNS):
            started_ns, began_ns = time.monotonic_ns(), time.thread_time_ns()
            self._engine.infer([blank], affine(card, ColorRange.LIMITED, ColorMatrix.BT601)[None])
            if run:  # the first one allocates
                self._spent(started_ns, began_ns)
        self._thread.start()

    def submit(self, header: SlotHeader, payload: U8) -> None:
        """A task that a worker failed. `payload` must stay as it is until the answer, or the answer is not used."""
        with self._news:
            self._work.append(_Work(header, payload))
            self._news.notify()

    def wake(self) -> None:
        """Something was published in its own lane."""
        with self._news:
            self._bells += 1
            self._news.notify()

    def close(self) -> None:
        """End the thread; what waits is not answered. Blocks for the picture in hand, if any."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._engine.close()

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        os.nice(_NICE)  # on Linux, of this thread alone
        while self._may_go_on():
            if self._work:
                self._serve_worker(self._work[0])
                self._work.popleft()
            else:
                self._serve_lane()
                with self._news:
                    self._bells -= 1

    def _serve_worker(self, work: _Work) -> None:
        """A task that a worker failed."""
        self._tell(self._tried(work.header, work.payload, self._fitted))

    def _serve_lane(self) -> None:
        """A picture that was published for this detector."""
        assert self._reader is not None
        taken = self._reader.take()
        if taken is not None:
            one = self._tried(taken.header, taken.payload, _as_it_is).answer
            self._reader.answer(taken, one.code, one.rows, one.started_ns, one.finished_ns)

    def _may_go_on(self) -> bool:
        """Wait for work, and for the CPU to do it with. False: it is over."""
        with self._news:
            while not self._stopping:
                wait_s = self._allowance.wait_ns(time.monotonic_ns()) / 1e9
                if self.waiting and wait_s <= 0:
                    return True
                self._news.wait(wait_s if self.waiting else None)
            return False

    def _tried(self, header: SlotHeader, payload: U8, fitted: Fitted) -> OwnAnswer:
        started_ns, began_ns = time.monotonic_ns(), time.thread_time_ns()
        rows, code, fit = _NO_ROWS, AnswerCode.LATE, header.fit
        if started_ns <= header.deadline_ns:
            try:
                picture, fit = fitted(payload, header, self.card)
                rows, code = self._engine.infer([picture], self._color(header)[None])[0], AnswerCode.OK
            except Exception as error:  # nothing that one picture does may end the thread
                code = AnswerCode.ENGINE_FAILED
                self.failures, self.error = self.failures + 1, repr(error)
            self._spent(started_ns, began_ns)
        return OwnAnswer(Answer(header.task, code, rows, started_ns, started_ns, time.monotonic_ns()), fit)

    def _spent(self, started_ns: int, began_ns: int) -> None:
        """Since then, by the clock and by the thread's CPU time."""
        now_ns = time.monotonic_ns()
        self._allowance.spent(time.thread_time_ns() - began_ns, now_ns - started_ns, now_ns)

    def _color(self, header: SlotHeader) -> F32:
        key = header.color_range, header.color_matrix
        if key not in self._affine:
            self._affine[key] = affine(self.card, *key)
        return self._affine[key]


def _as_it_is(payload: U8, header: SlotHeader, card: ModelCard) -> tuple[U8, Letterbox]:
    """Made for this detector's input."""
    del card
    return payload, header.fit
