"""Several workers behind one writer: who gets a task, and what becomes of it when its worker fails or dies."""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pipelines.contracts import Slot, SlotWriter, Taken
from pipelines.errors import LaneError
from pipelines.transport.breaker import BreakerOptions, BreakerState
from pipelines.transport.flow import FlowOptions, FlowState
from pipelines.transport.loopback import Loopback
from pipelines.transport.options import LaneOptions
from pipelines.transport.window import WindowOptions
from pipelines.transport.workers import Workers
from pipelines.values import Answer, AnswerCode, ModelCard, Priority
from tests.contracts.lane import Recorder
from tests.unit.transport.values import CARD, header

MS = 1_000_000
FLOW = FlowOptions(window=WindowOptions(target_ms=100.0), breaker=BreakerOptions(failures=2, pause_s=1.0))
LANE = LaneOptions(slots=8, reserved_high=1, reserved_normal=1, flow=FLOW)


class Site:
    """Workers in this process, and a clock that is set by hand."""

    def __init__(self, names: str = "ab", card: ModelCard = CARD) -> None:
        self.now_ns = 1
        self.events = Recorder()
        self.workers = Workers(list(names), LANE, self.events, self.tell, lambda: self.now_ns)
        self.lanes = {each.name: Loopback(card, LANE, each) for each in self.workers.members}
        self.told: list[tuple[str, bool, str]] = []

    def tell(self, *news: Any) -> None:
        self.told.append(news)

    def attach(self, *names: str, card: ModelCard | None = None) -> None:
        for name in names or self.lanes:
            if card is not None:
                self.lanes[name] = Loopback(card, LANE, next(m for m in self.workers.members if m.name == name))
            self.lanes[name].attach()

    @property
    def front(self) -> SlotWriter:
        return self.events.writers[-1]

    def send(self, task: int, deadline_ns: int = 1 << 60, priority: Priority = Priority.NORMAL) -> bool:
        slot = self.front.loan(priority)
        if slot is None:
            return False
        slot.payload[:] = task % 251
        return self.front.publish(slot, dataclasses.replace(header(task, priority=priority), deadline_ns=deadline_ns))

    def take(self, name: str) -> list[Taken]:
        taken = []
        while (one := self.lanes[name].reader.take()) is not None:
            assert (one.payload == one.header.task % 251).all()
            taken.append(one)
        return taken

    def answer(self, name: str, taken: Taken, code: AnswerCode = AnswerCode.OK) -> None:
        rows = np.full((1, 6), taken.header.task, np.float32)
        self.lanes[name].reader.answer(taken, code, rows, 0, 0)

    def flow(self, name: str) -> FlowState:
        return self.workers.observe().flows[name].state


def test_it_is_one_lane_to_the_rest() -> None:
    site = Site()
    site.attach("a")
    site.attach("b")
    assert len(site.events.writers) == 1
    assert site.front.card == CARD
    assert site.front.statistics().slots == 16
    assert all(site.send(task) for task in range(14)), "both rings, less what is kept for high priority"
    assert not site.send(14)
    assert site.send(15, priority=Priority.HIGH)
    assert {site.flow(name) for name in "ab"} == {FlowState.BUSY}
    taken = {name: site.take(name) for name in "ab"}
    assert sorted(one.header.task for each in taken.values() for one in each) == [*range(14), 15]
    for name, each in taken.items():
        for one in each:
            site.answer(name, one)
    assert sorted(site.events.tasks_answered) == [*range(14), 15]
    assert all(flow.in_flight == 0 for flow in site.workers.observe().flows.values())


def test_the_window_shrinks_what_a_slow_worker_gets() -> None:
    site = Site("a")
    site.attach()
    for round_ in range(12):
        for task in range(8):
            site.send(round_ * 8 + task)
        site.now_ns += 150 * MS
        for taken in site.take("a"):
            site.answer("a", taken)
    assert site.workers.observe().flows["a"].window == 1
    assert [site.send(1000), site.send(1001)] == [True, False]


def test_a_failing_worker_is_left_alone_and_probed() -> None:
    site = Site()
    site.attach()
    site.send(0)
    site.send(1)
    held = {name: taken for name in "ab" for taken in site.take(name)}
    for number in range(2, 6):
        site.answer("a", held["a"], AnswerCode.ENGINE_FAILED)
        if site.flow("a") is FlowState.RETRY:
            break
        site.send(number)
        taken = site.take("a")
        assert taken, "b is busy with one, so a is done first"
        held["a"] = taken[0]
    assert site.flow("a") is FlowState.RETRY
    tasks = [task for task in range(100, 104) if site.send(task)]
    assert [taken.header.task for taken in site.take("b")] == tasks
    assert site.take("a") == []

    site.now_ns += 1_000 * MS
    for task in range(200, 204):
        site.send(task)
    [probe] = site.take("a")
    assert site.flow("a") is FlowState.RETRY, "one probe at a time"
    site.answer("a", probe)
    assert site.workers.observe().flows["a"].breaker is BreakerState.CLOSED


def test_tasks_of_a_lost_worker_go_to_another_while_their_deadlines_allow() -> None:
    site = Site()
    site.attach()
    for task in range(4):
        site.send(task, deadline_ns=10 if task % 4 < 2 else 1 << 60)
    of_a = {taken.header.task for taken in site.take("a")}
    assert len(of_a) == 2
    site.now_ns = 11
    site.lanes["a"].end("killed")
    at_b = {taken.header.task: taken for taken in site.take("b")}
    assert set(at_b) == {0, 1, 2, 3} - {task for task in of_a if task < 2}
    assert set(site.events.tasks_lost) == {task for task in of_a if task < 2}
    assert site.events.given_up[0][1] == "a: killed"
    assert site.events.writers == [site.front], "the pumps keep their writer"
    assert site.events.losses == []
    assert site.told == [("a", True, "model tiny"), ("b", True, "model tiny"), ("a", False, "killed")]
    assert site.workers.observe().resubmitted == len(of_a & {2, 3})
    for taken in at_b.values():
        site.answer("b", taken)
    assert sorted(site.events.tasks_answered + site.events.tasks_lost) == [0, 1, 2, 3]


def test_the_last_loss_is_a_loss() -> None:
    site = Site()
    site.attach()
    site.send(1)
    loan = site.front.loan(Priority.NORMAL)
    assert loan
    site.lanes["b"].end("gone")
    site.lanes["a"].end("gone too")
    assert site.events.tasks_lost == [1]
    assert len(site.events.writers) < len(site.events.losses) + 1
    assert site.front.publish(loan, header(2)) is False
    assert site.front.loan(Priority.HIGH) is None
    site.attach("a")
    assert site.send(3)


def test_a_worker_that_dies_with_every_task_is_left_alone_too() -> None:
    site = Site("a")
    site.attach()
    for task in range(FLOW.breaker.failures):
        assert site.send(task)
        site.lanes["a"].end("killed")
        site.attach("a")
    assert not site.send(10)
    site.now_ns += 1_000 * MS
    assert site.send(11)
    assert not site.send(12)


def test_another_model_waits_until_the_others_are_gone() -> None:
    site = Site()
    newer = dataclasses.replace(CARD, name="newer")
    site.attach("a")
    site.attach("b", card=newer)
    assert site.workers.observe().refused == {"b": "serves model newer, the others tiny"}
    assert [site.send(task) for task in range(8)].count(True) == 7
    older = site.front
    loan = older.loan(Priority.HIGH)
    assert loan
    site.lanes["a"].end("the worker changed its model")
    assert (older.card, site.front.card) == (CARD, newer)
    assert older.loan(Priority.HIGH) is None, "a pump that still has the old writer gets no slot of the new model"
    assert older.publish(loan, header(8)) is False
    assert site.send(9)
    assert len(site.take("b")) == 1


def test_a_refused_header_leaves_the_slot_with_the_caller() -> None:
    site = Site("a")
    site.attach()
    slot = site.front.loan(Priority.NORMAL)
    assert slot
    with pytest.raises(LaneError, match="camera name"):
        site.front.publish(slot, header(1, camera="x" * 49))
    site.front.discard(slot)
    assert site.workers.observe().flows["a"].in_flight == 0


@pytest.mark.parametrize("service_ms", [{"a": 2.0, "b": 6.0}, {"a": 3.0, "b": 3.0}])
def test_tasks_are_shared_by_speed(service_ms: dict[str, float]) -> None:
    """Work arrives at 90 % of what both can do: each worker's share is its speed's, and nobody waits long."""
    site = Site()
    site.attach()
    rng, done = random.Random(3), Counter[str]()
    rate = 0.9 * sum(1 / ms for ms in service_ms.values())
    free_ns = dict.fromkeys("ab", 0)
    ends: list[tuple[int, int, str, Taken]] = []
    arrival_ns, waits = 0, []
    for task in range(3000):
        arrival_ns += int(rng.expovariate(rate) * MS)
        while ends and ends[0][0] <= arrival_ns:
            site.now_ns, _, name, taken = heapq.heappop(ends)
            site.answer(name, taken)
            done[name] += 1
        site.now_ns = arrival_ns
        site.send(task)
        for name in "ab":
            for taken in site.take(name):
                free_ns[name] = max(free_ns[name], arrival_ns) + int(service_ms[name] * MS)
                heapq.heappush(ends, (free_ns[name], task, name, taken))
                waits.append((free_ns[name] - arrival_ns) / MS)
    share = done["a"] / sum(done.values())
    speed = (1 / service_ms["a"]) / sum(1 / ms for ms in service_ms.values())
    assert abs(share - speed) < 0.1
    assert len(waits) > 2800, "few found both rings full"


@pytest.mark.parametrize("seed", range(4))
def test_every_task_settles_once_whatever_happens(seed: int) -> None:
    """Random verbs on three workers that die, fail and come back: each task sent is answered or lost, once."""
    site, rng = Site("abc"), random.Random(seed)
    loans: list[Slot] = []
    hands: list[tuple[str, Taken]] = []
    alive: set[str] = set()
    sent: list[int] = []
    alive.add("a")
    site.attach("a")
    for step in range(1500):
        site.now_ns += rng.randrange(20 * MS)
        verb = rng.choices(["loan", "publish", "discard", "take", "answer", "die", "attach"], [6, 6, 1, 5, 6, 0.3, 0.8])
        name = rng.choice("abc")
        match verb[0]:
            case "loan" if (slot := site.front.loan(rng.choice(list(Priority)))) is not None:
                loans.append(slot)
            case "publish" if loans:
                slot = loans.pop(rng.randrange(len(loans)))
                slot.payload[:] = step % 251
                deadline_ns = site.now_ns + rng.randrange(5_000 * MS)
                if site.front.publish(slot, dataclasses.replace(header(step), deadline_ns=deadline_ns)):
                    sent.append(step)
            case "discard" if loans:
                site.front.discard(loans.pop())
            case "take" if name in alive:
                hands += [(name, taken) for taken in site.take(name)]
            case "answer" if hands:
                who, taken = hands.pop(rng.randrange(len(hands)))
                site.answer(who, taken, rng.choice([AnswerCode.OK] * 8 + [AnswerCode.LATE, AnswerCode.ENGINE_FAILED]))
            case "die" if name in alive:
                alive.discard(name)
                hands = [each for each in hands if each[0] != name]
                site.lanes[name].end("killed")
            case "attach" if name not in alive:
                alive.add(name)
                site.lanes[name].attach()
    for slot in loans:
        site.front.discard(slot)
    assert all(flow.in_flight >= 0 for flow in site.workers.observe().flows.values())
    for name in sorted(alive):
        site.lanes[name].end("stopped")
    assert sorted(site.events.tasks_answered + site.events.tasks_lost) == sorted(sent)
    assert len(site.events.answers) > 100, "or the walk proves little"
    assert site.workers.observe().resubmitted > 0
    assert all(isinstance(answer, Answer) for answer in site.events.answers)
    assert site.workers._out == {}
    assert site.workers._lent == {}
