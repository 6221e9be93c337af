"""The asyncio face of the outbox: waiting for records, and for none."""

from __future__ import annotations

import asyncio

from pipelines.sink.backlog import Backlog, drain, total


def backlog(records: int = 10) -> Backlog[str]:
    return Backlog(max_records=records, max_bytes=1000)


async def test_next_waits_for_an_offer() -> None:
    box = backlog()
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    assert not waiting.done()

    box.offer("a", 1)

    assert (await waiting).item == "a"


async def test_batch_takes_what_is_there_up_to_the_limit() -> None:
    box = backlog()
    for letter in "abc":
        box.offer(letter, 1)

    assert [ticket.item for ticket in await box.batch(2)] == ["a", "b"]
    assert [ticket.item for ticket in await box.batch(2)] == ["c"]


async def test_rewind_wakes_the_feeder() -> None:
    box = backlog()
    box.offer("a", 1)
    await box.next()
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)

    box.rewind()

    assert (await waiting).item == "a"


async def test_drain_ends_when_the_last_record_is_settled() -> None:
    box = backlog()
    box.offer("a", 1)
    box.offer("b", 1)
    draining = asyncio.create_task(drain([box], deadline_s=60))
    box.acked(await box.next())
    await asyncio.sleep(0)
    assert not draining.done()

    box.failed(await box.next())

    await draining


async def test_drain_gives_up_at_its_deadline() -> None:
    box = backlog()
    box.offer("a", 1)

    await drain([box], deadline_s=0.01)

    assert box.statistics().waiting == 1


async def test_total_keeps_the_law() -> None:
    first, second = backlog(records=1), backlog()
    for box in (first, second):
        for letter in "abc":
            box.offer(letter, 1)
    second.acked(await second.next())
    second.failed(await second.next())

    sum_ = total([first.statistics(), second.statistics()], connected=True, last_error="x")

    assert (sum_.offered, sum_.acked, sum_.failed, sum_.dropped, sum_.waiting) == (6, 1, 1, 2, 2)
