"""Inference, models and bounds, without a wire: through the worker's real loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from pipelines.errors import EngineError
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.repository import IndexEntry, ModelState
from pipelines.worker.serve.service import Service
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import InferRequest
from tests.fakes.lane import CARD, one_box
from tests.unit.worker.serve.running import request, serving, until


async def refusal(service: Service, asked: InferRequest) -> RequestError:
    with pytest.raises(RequestError) as error, service.room():
        await service.infer(asked)
    return error.value


async def test_a_request_is_answered_with_the_rows_of_every_picture() -> None:
    async with serving() as running:
        response = await running.server.service.infer(request(3))
        assert response.detections.tolist() == [one_box().tolist()] * 3
        assert (response.model, response.version, response.id) == (CARD.name, "1", "7")
        assert running.server.statistics().answered == 1


async def test_requests_of_different_clients_become_one_batch() -> None:
    """They wait in the batcher of the lanes, not in a queue of their own."""
    async with serving() as running:
        running.engine.gate.clear()
        asked = [asyncio.create_task(running.server.service.infer(request(1))) for _ in range(5)]
        await until(lambda: running.loop.in_hand == 5)
        running.engine.gate.set()
        await asyncio.gather(*asked)
        assert sorted(running.engine.batches) == [1, 4]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "nobody"}, Code.NOT_FOUND),
        ({"version": "2"}, Code.NOT_FOUND),
        ({"model": "second"}, Code.UNAVAILABLE),
        ({"inputs": ()}, Code.INVALID_ARGUMENT),
        ({"deadline_ns": 1}, Code.DEADLINE_EXCEEDED),
    ],
)
async def test_refusals(change: dict[str, object], code: Code) -> None:
    async with serving() as running:
        service = running.server.service
        assert (await refusal(service, replace(request(), **change))).code is code  # type: ignore[arg-type]
        assert service.statistics().refused == {code: 1}
        assert running.engine.batches == []


async def test_what_cannot_be_in_time_is_refused_before_it_runs() -> None:
    async with serving() as running:
        running.engine.gate.clear()
        first = asyncio.create_task(running.server.service.infer(request()))
        await asyncio.sleep(0)
        soon_ns = time.monotonic_ns() + 1_000_000
        late = asyncio.create_task(refusal(running.server.service, request(deadline_ns=soon_ns)))
        await asyncio.sleep(0.002)  # for the deadline to pass
        running.engine.gate.set()
        assert (await late).code is Code.DEADLINE_EXCEEDED
        await first
        assert running.engine.batches == [1]


async def test_a_failing_engine_is_an_internal_error_and_the_next_request_runs() -> None:
    def fail(size: int) -> None:
        raise EngineError("boom")

    async with serving() as running:
        running.engine.act = fail
        assert (await refusal(running.server.service, request(2))).code is Code.INTERNAL
        running.engine.act = lambda size: None
        await running.server.service.infer(request())


async def test_more_requests_than_there_is_room_for() -> None:
    async with serving({"max_requests": 2}) as running:
        service = running.server.service
        with service.room(), service.room(), pytest.raises(RequestError) as full, service.room():
            pass
        assert full.value.code is Code.RESOURCE_EXHAUSTED
        assert service.statistics().open == 0
        assert service.statistics().peak_open == 2


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    async with serving() as running:
        running.engine.gate.clear()
        asked = asyncio.create_task(running.server.service.infer(request()))
        await until(lambda: running.loop.in_hand)
        asked.cancel()
        await asyncio.wait({asked})
        running.engine.gate.set()
        await running.server.service.infer(request())
        assert running.server.statistics().open == 0


async def test_a_full_queue_refuses_the_least_urgent() -> None:
    async with serving(batch=BatchOptions(max_batch=1, queue=2)) as running:
        codes = await asyncio.gather(*(refusal_or_none(running.server.service, n) for n in (1, 0, 3, 2)))
        assert codes == [None, None, Code.DEADLINE_EXCEEDED, Code.DEADLINE_EXCEEDED]


async def refusal_or_none(service: Service, priority: int) -> Code | None:
    try:
        await service.infer(request(priority=priority))
    except RequestError as error:
        return error.code
    return None


# --- models ----------------------------------------------------------------------------------------------------------


async def test_a_model_is_loaded_used_and_unloaded() -> None:
    async with serving() as running:
        service, models = running.server.service, running.server.service.repository
        await models.load("second")
        await models.load("second")
        response = await service.infer(request(2, model="second"))
        assert response.model == "second"
        assert running.further[0].batches[-1] == 2
        assert running.engine.batches == []

        await models.unload("second")
        await models.unload("second")
        assert (await refusal(service, request(model="second"))).code is Code.UNAVAILABLE
        assert len(running.further) == 1
        await models.load("second")
        await service.infer(request(model="second"))


async def test_unloading_answers_what_is_at_work() -> None:
    async with serving() as running:
        service, models = running.server.service, running.server.service.repository
        await models.load("second")
        running.further[0].gate.clear()
        asked = asyncio.create_task(service.infer(request(model="second")))
        await asyncio.sleep(0)
        unloading = asyncio.create_task(models.unload("second"))
        await asyncio.sleep(0)
        assert list(models.index())[1] == IndexEntry("second", "1", ModelState.UNLOADING, "")
        assert (await refusal(service, request(model="second"))).code is Code.UNAVAILABLE
        with pytest.raises(RequestError) as busy:
            await models.load("second")
        assert busy.value.code is Code.UNAVAILABLE
        running.further[0].gate.set()
        assert (await asked).detections.shape == (1, 4, 6)
        await unloading


async def test_the_workers_own_model_is_only_hidden() -> None:
    """The lanes go on using it."""
    async with serving() as running:
        service, models = running.server.service, running.server.service.repository
        await models.unload(CARD.name)
        assert not models.is_ready(CARD.name, "")
        assert (await refusal(service, request())).code is Code.UNAVAILABLE
        await models.load(CARD.name)
        await service.infer(request())


async def test_a_model_that_cannot_be_loaded_says_why() -> None:
    async with serving() as running:
        models = running.server.service.repository
        with pytest.raises(RequestError, match=r"broken\.onnx: no such model") as refused:
            await models.load("broken")
        assert refused.value.code is Code.INVALID_ARGUMENT
        assert [entry.reason for entry in models.index()] == ["", "not loaded", "broken.onnx: no such model"]
        with pytest.raises(RequestError) as unknown:
            await models.load("nobody")
        assert unknown.value.code is Code.NOT_FOUND


async def test_models_are_few() -> None:
    options = {"max_models": 1, "models": {"second": "second.onnx", "third": "second.onnx"}}
    async with serving(options) as running:
        models = running.server.service.repository
        await models.load("second")
        with pytest.raises(RequestError) as full:
            await models.load("third")
        assert full.value.code is Code.RESOURCE_EXHAUSTED
        await models.unload("second")
        await models.load("third")


async def test_a_stopping_server_is_not_ready_and_takes_nothing_new() -> None:
    async with serving() as running:
        service = running.server.service
        ready = service.ready
        running.server.drain()
        assert (ready, service.ready) == (True, False)
        assert (await refusal(service, request())).code is Code.UNAVAILABLE
