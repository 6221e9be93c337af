"""The link against servers that do as they are told: whom it attaches to, and what each failure does to the lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from pipelines.card import METADATA_KEY, to_json
from pipelines.schema import open_inference_pb2 as pb
from pipelines.transport.grpc_link import GrpcLink
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.options import LaneOptions
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import Recorder, until
from tests.fakes.inference import Refusal, StubServer
from tests.unit.transport.test_grpc_form import config
from tests.unit.transport.values import CARD, header

OPTIONS = LaneOptions(
    slots=2,
    reserved_high=0,
    reserved_normal=0,
    attach_timeout_s=0.2,
    ping_interval_s=0.01,
    ping_timeout_s=0.1,
    retire_timeout_s=0.1,
    connect_backoff_s=0.002,
    connect_backoff_max_s=0.004,
)


@asynccontextmanager
async def linked(port: int, **server: object) -> AsyncIterator[tuple[GrpcLink, Recorder]]:
    events = Recorder()
    asked = GrpcLaneOptions.model_validate({"address": f"127.0.0.1:{port}", "model": "served"} | server)
    link = GrpcLink(asked, OPTIONS, events)
    task = asyncio.create_task(link.run())
    try:
        yield link, events
    finally:
        task.cancel()
        await asyncio.wait({task})


def publish(link: GrpcLink, task: int) -> None:
    assert link.writer
    slot = link.writer.loan(Priority.NORMAL)
    assert slot
    slot.payload[:] = task
    assert link.writer.publish(slot, header(task))


async def answer(request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    """As Triton: with the version it chose, and no parameters."""
    output = pb.ModelInferResponse.InferOutputTensor(name="detections", datatype="FP32", shape=[1, 4, 6])
    rows = np.full(24, request.raw_input_contents[0][0], np.float32)
    return pb.ModelInferResponse(model_version="3", outputs=[output], raw_output_contents=[rows.tobytes()])


async def for_ever(request: Any) -> Any:
    await asyncio.Event().wait()


async def test_a_server_like_triton() -> None:
    stub = StubServer(config())
    stub.answers["ModelInfer"] = answer
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 7)
        await until(lambda: events.answers)
        assert events.answers[0].rows.tolist() == [[7.0] * 6] * 4
        assert stub.requests[0].model_name == "served"
        assert link.statistics().attached


async def test_a_server_without_tritons_extensions() -> None:
    """KServe's own protocol: the card is among the model's properties."""

    async def metadata(request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        return pb.ModelMetadataResponse(name=request.name, properties={METADATA_KEY: to_json(CARD)})

    stub = StubServer(None)
    stub.answers |= {"ModelMetadata": metadata, "ModelInfer": answer}
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        await until(lambda: events.answers)


async def not_ready(request: Any) -> Any:
    return pb.ModelReadyResponse(ready=False)


async def going(request: Any) -> Any:
    return pb.ServerReadyResponse(ready=False)


async def unknown(request: Any) -> Any:
    raise Refusal(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'served' is not found")


async def stranger(request: Any) -> Any:
    raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


@pytest.mark.parametrize(
    ("call", "answered", "says"),
    [
        ("ServerReady", going, "is not ready"),
        ("ServerReady", for_ever, "deadline_exceeded"),
        ("ServerReady", stranger, "unauthenticated: who are you?"),
        ("ModelReady", not_ready, "model served is not ready on 127.0.0.1"),
        ("ModelReady", unknown, "not_found: Request for unknown model"),
    ],
)
async def test_a_server_that_cannot_be_attached_to(call: str, answered: Any, says: str) -> None:
    stub = StubServer(config())
    stub.answers[call] = answered
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.statistics().failures >= 2)
        assert says in link.statistics().reason
        assert (link.writer, events.writers, events.losses) == (None, [], [])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, AnswerCode.LATE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, AnswerCode.LATE),
        (grpc.StatusCode.INVALID_ARGUMENT, AnswerCode.BAD_INPUT),
        (grpc.StatusCode.INTERNAL, AnswerCode.ENGINE_FAILED),
    ],
)
async def test_a_status_about_a_task_is_its_answer(status: grpc.StatusCode, code: AnswerCode) -> None:
    async def refuse(request: Any) -> Any:
        raise Refusal(status)

    stub = StubServer(config())
    stub.answers["ModelInfer"] = refuse
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        await until(lambda: events.answers)
        assert (events.answers[0].code, events.losses) == (code, [])


async def odd(request: Any) -> Any:
    return pb.ModelInferResponse()


async def unavailable(request: Any) -> Any:
    raise Refusal(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


@pytest.mark.parametrize(("refuse", "says"), [(odd, "the server answered nothing"), (unavailable, "Exceeds maximum")])
async def test_anything_else_ends_the_lane_and_begins_another(refuse: Any, says: str) -> None:
    stub = StubServer(config())
    stub.answers["ModelInfer"] = refuse
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        await until(lambda: len(events.writers) == 2)
        [(tasks, reason)] = events.losses
        assert tasks == (1,)
        assert says in reason


async def test_a_server_that_hangs_is_given_up() -> None:
    stub = StubServer(config())
    stub.answers["ModelInfer"] = for_ever
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        stub.answers["ServerReady"] = for_ever
        await until(lambda: events.losses)
        assert events.losses == [((1,), "the server has been silent for 0.1 s")]


async def test_a_call_that_never_ends_does_not_hold_a_retiring_lane() -> None:
    stub = StubServer(config())
    stub.answers["ModelInfer"] = for_ever
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        await until(lambda: stub.requests)
        stub.answers["ServerReady"] = going
        await until(lambda: events.losses)
        assert events.losses == [((1,), "the server is draining")]


async def test_draining_waits_for_answers_and_attaches_no_more() -> None:
    gate = asyncio.Event()

    async def gated(request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        await gate.wait()
        return await answer(request)

    stub = StubServer(config())
    stub.answers["ModelInfer"] = gated
    async with stub.running(), linked(stub.port) as (link, events):
        await until(lambda: link.writer)
        publish(link, 1)
        assert await link.drain(0.02) == 1
        gate.set()
        assert await link.drain(5) == 0
        assert link.writer
        assert link.writer.loan(Priority.HIGH) is None
        assert events.tasks_answered == [1]


async def test_a_bug_in_events_is_not_swallowed() -> None:
    class Broken(Recorder):
        def answered(self, answer: object) -> None:
            raise ZeroDivisionError

    stub = StubServer(config())
    stub.answers["ModelInfer"] = answer
    async with stub.running():
        link = GrpcLink(GrpcLaneOptions(address=f"127.0.0.1:{stub.port}", model="served"), OPTIONS, Broken())
        task = asyncio.create_task(link.run())
        await until(lambda: link.writer)
        publish(link, 1)
        with pytest.raises(ExceptionGroup) as group:
            await task
        assert group.group_contains(ZeroDivisionError)


async def test_a_tls_file_that_is_not_there_is_named() -> None:
    async with linked(1, tls={"ca_file": Path("/nowhere/ca.pem")}) as (link, _):
        await until(lambda: link.statistics().failures)
        assert link.statistics().reason == "TLS file /nowhere/ca.pem: No such file or directory"
