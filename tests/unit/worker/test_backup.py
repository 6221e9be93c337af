"""A backup model serves while the own one turns bad, and gives the place back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pipelines.errors import EngineError
from pipelines.values import AnswerCode
from pipelines.worker.backup import Backup
from pipelines.worker.health import STRIKES
from tests.unit.worker.test_lifecycle import Marked, Stage, answers, staged

AGAIN_S = 0.005


class Play:
    """A lifecycle, a backup called `backup`, and one lane."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.told: list[tuple[str, str]] = []
        self.backup = Backup(stage.models, "backup", AGAIN_S, lambda what, text: self.told.append((what, text)))
        stage.models._on_bad = self.backup.turned_bad
        self.lane, self.events = stage.lane(stage.models.card)
        self.sent = 0

    async def mark(self) -> float:
        """Of the model that answers now; 0.0 for none."""
        self.sent += 1
        self.stage.send(self.lane, self.sent)
        return (await answers(self.events, self.sent))[-1][2]

    async def until(self, reference: str) -> None:
        await until(lambda: self.stage.models.model.reference == reference)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def fail(size: int) -> None:
    raise EngineError("broken")


@asynccontextmanager
async def playing(
    own: Marked, began_with: str = "", **engines: Marked
) -> AsyncIterator[tuple[Play, dict[str, Marked]]]:
    async with staged(own, **engines) as (stage, shelf):
        play = Play(stage)
        running = asyncio.create_task(play.backup.run(began_with))
        try:
            yield play, shelf.engines  # type: ignore[misc]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_it_serves_while_the_own_model_fails_and_goes_when_that_is_well_again() -> None:
    sick, well = Marked(0.25), Marked(0.75)
    async with playing(sick, backup=Marked(0.5)) as (play, shelf):
        assert await play.mark() == 0.25
        sick.act = fail
        for _ in range(STRIKES):
            assert await play.mark() == 0.0
        await play.until("backup")
        assert await play.mark() == 0.5
        await until(lambda: any(what == "refused" for what, _ in play.told))  # still not there: the backup stays
        assert await play.mark() == 0.5
        shelf["first"] = well
        await play.until("first")
        assert await play.mark() == 0.75
        await until(lambda: [text for what, text in play.told if what == "loaded"] == ["backup", "first"])
        assert all(answer.code in (AnswerCode.OK, AnswerCode.ENGINE_FAILED) for answer in play.events.answers)


async def test_one_bad_batch_calls_for_nobody() -> None:
    own = Marked(0.25)
    async with playing(own, backup=Marked(0.5)) as (play, _):
        own.act = fail
        for _ in range(STRIKES - 1):
            await play.mark()
        own.act = lambda size: None
        assert await play.mark() == 0.25
        assert play.told == []


async def test_a_backup_that_cannot_be_loaded_is_tried_again_while_it_is_needed() -> None:
    own = Marked(0.25)
    async with playing(own) as (play, shelf):
        own.act = fail
        for _ in range(STRIKES):
            await play.mark()
        await until(lambda: len(play.told) == 2)
        assert {what for what, _ in play.told} == {"refused"}
        assert play.stage.models.model.reference == "first"
        shelf["backup"] = Marked(0.5)
        await play.until("backup")


async def test_a_model_that_recovers_meanwhile_keeps_its_place() -> None:
    own = Marked(0.25)
    async with playing(own) as (play, shelf):
        own.act = fail
        for _ in range(STRIKES):
            await play.mark()
        await until(lambda: len(play.told) == 1)
        own.act = lambda size: None
        assert await play.mark() == 0.25
        shelf["backup"] = Marked(0.5)
        await asyncio.sleep(3 * AGAIN_S)
        assert play.stage.models.model.reference == "first"


async def test_whoever_loads_a_third_model_by_hand_ends_it() -> None:
    own = Marked(0.25)
    async with playing(own, backup=Marked(0.5), third=Marked(0.75), first=Marked(0.9)) as (play, _):
        play.backup._wait_s = 0.05
        own.act = fail
        for _ in range(STRIKES):
            await play.mark()
        await play.until("backup")
        await play.stage.models.load("third")
        await asyncio.sleep(0.1)
        assert play.stage.models.model.reference == "third"


async def test_a_worker_that_began_with_its_backup_goes_back_too() -> None:
    async with playing(Marked(0.5), began_with="wanted", wanted=Marked(0.75)) as (play, _):
        play.backup._reference = play.stage.models.model.reference
        await play.until("wanted")
        assert await play.mark() == 0.75


async def test_one_that_turns_bad_again_waits_longer() -> None:
    own, again = Marked(0.25), Marked(0.3)
    async with playing(own, backup=Marked(0.5)) as (play, shelf):
        own.act = fail
        for _ in range(STRIKES):
            await play.mark()
        await play.until("backup")
        shelf["backup"], shelf["first"] = Marked(0.5), again
        await play.until("first")
        del shelf["first"]
        waited_s = play.backup._wait_s
        assert waited_s > AGAIN_S
        again.act = fail
        for _ in range(STRIKES):
            await play.mark()
        await play.until("backup")
        await until(lambda: play.backup._wait_s > waited_s)
