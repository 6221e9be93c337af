"""The gRPC wire, with a real server and a channel on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from pipelines.card import METADATA_KEY, from_json
from pipelines.schema import open_inference_pb2 as pb
from tests.fakes.lane import CARD, one_box
from tests.servers.certificate import make_certificates
from tests.unit.worker.serve.running import PLANES_SHAPE, Running, colors, planes, serving, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@asynccontextmanager
async def channel(running: Running) -> AsyncIterator[grpc.aio.Channel]:
    assert running.server.rpc
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.server.rpc.port}") as made:
        yield made


async def call(
    wire: grpc.aio.Channel, name: str, request: Any = None, timeout_s: float | None = 10, token: str | None = None
) -> Any:
    method = wire.unary_unary(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(pb, f"{name}Response").FromString,
    )
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    return await method(request or getattr(pb, f"{name}Request")(), timeout=timeout_s, metadata=metadata)


async def code(wire: grpc.aio.Channel, name: str, request: Any = None, **more: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(wire, name, request, **more)
    return error.value.code()


def infer(count: int = 1, raw: Sequence[bytes] | None = None, **more: object) -> pb.ModelInferRequest:
    kind = pb.ModelInferRequest.InferInputTensor
    inputs = [
        kind(name="planes", datatype="UINT8", shape=(count, *PLANES_SHAPE)),
        kind(name="color", datatype="FP32", shape=(count, 3, 4)),
    ]
    contents = [planes(count), colors(count).tobytes()] if raw is None else raw
    made = pb.ModelInferRequest(model_name=CARD.name, id="9", inputs=inputs, raw_input_contents=contents)
    made.MergeFrom(pb.ModelInferRequest(**more))  # type: ignore[arg-type]
    return made


async def test_health_and_metadata() -> None:
    async with serving() as running, channel(running) as wire:
        assert (await call(wire, "ServerLive")).live
        assert (await call(wire, "ServerReady")).ready
        assert (await call(wire, "ModelReady", pb.ModelReadyRequest(name=CARD.name))).ready
        assert not (await call(wire, "ModelReady", pb.ModelReadyRequest(name="second"))).ready
        server = await call(wire, "ServerMetadata")
        assert (server.name, "system_shared_memory" in server.extensions) == ("framegate", False)
        model = await call(wire, "ModelMetadata", pb.ModelMetadataRequest(name=CARD.name, version="1"))
        assert [(t.name, t.datatype, list(t.shape)) for t in (*model.inputs, *model.outputs)] == [
            ("planes", "UINT8", [-1, 24, 32]),
            ("color", "FP32", [-1, 3, 4]),
            ("detections", "FP32", [-1, 4, 6]),
        ]
        assert from_json(model.properties[METADATA_KEY]) == CARD
        config = (await call(wire, "ModelConfig", pb.ModelConfigRequest(name=CARD.name))).config
        assert config.max_batch_size == 4
        assert from_json(config.parameters[METADATA_KEY].string_value) == CARD
        running.server.drain()
        assert not (await call(wire, "ServerReady")).ready


async def test_inference_raw() -> None:
    async with serving() as running, channel(running) as wire:
        answer = await call(wire, "ModelInfer", infer(2))
        assert (answer.model_name, answer.model_version, answer.id) == (CARD.name, "1", "9")
        (output,) = answer.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("detections", "FP32", [2, 4, 6])
        rows = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(2, 4, 6)
        assert rows.tolist() == [one_box().tolist()] * 2


@pytest.mark.parametrize("count", [1, 4])
async def test_inference_with_typed_contents(count: int) -> None:
    """Short ones in the loop, long ones beside it."""
    asked = infer(count, raw=())
    asked.inputs[0].contents.uint_contents.extend(planes(count))
    asked.inputs[1].contents.fp32_contents.extend(colors(count).ravel().tolist())
    async with serving() as running, channel(running) as wire:
        assert list((await call(wire, "ModelInfer", asked)).outputs[0].shape) == [count, 4, 6]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (infer(model_name="nobody"), grpc.StatusCode.NOT_FOUND),
        (infer(model_version="3"), grpc.StatusCode.NOT_FOUND),
        (infer(model_name="second"), grpc.StatusCode.UNAVAILABLE),
        (infer(raw=[planes()]), INVALID),
        (infer(raw=[planes(), b"", b""]), INVALID),
        (infer(raw=()), INVALID),
        (infer(5), INVALID),
        (infer(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="boxes")]), INVALID),
        (infer(parameters={"timeout": pb.InferParameter(string_param="soon")}), INVALID),
        (infer(parameters={"priority": pb.InferParameter(int64_param=-1)}), INVALID),
        (infer(parameters={"task": pb.InferParameter(bool_param=True)}), INVALID),
    ],
)
async def test_refusals_have_the_standard_codes(asked: pb.ModelInferRequest, wanted: grpc.StatusCode) -> None:
    async with serving() as running, channel(running) as wire:
        assert await code(wire, "ModelInfer", asked) is wanted


async def test_the_clients_deadline_counts() -> None:
    """The call's, which ends it at the client; and Triton's parameter, which the server tells it about."""
    async with serving() as running, channel(running) as wire:
        running.engine.gate.clear()
        first = asyncio.create_task(call(wire, "ModelInfer", infer()))
        await until(lambda: running.loop.in_hand)
        assert await code(wire, "ModelInfer", infer(), timeout_s=0.05) is grpc.StatusCode.DEADLINE_EXCEEDED
        held = running.loop.in_hand
        timeout = {"timeout": pb.InferParameter(int64_param=1000)}
        late = asyncio.create_task(code(wire, "ModelInfer", infer(parameters=timeout)))
        await until(lambda: running.loop.in_hand > held or late.done())
        await asyncio.sleep(0.002)  # for the deadline to pass
        running.engine.gate.set()
        assert await late is grpc.StatusCode.DEADLINE_EXCEEDED
        await first
        await until(lambda: running.server.statistics().open == 0)
        assert running.engine.batches == [1], "neither ran"


async def test_a_message_that_is_too_long_is_refused() -> None:
    async with serving({"max_message_bytes": 1024}) as running, channel(running) as wire:
        await call(wire, "ModelInfer", infer())
        assert await code(wire, "ModelInfer", infer(4)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await call(wire, "ServerReady")).ready


async def test_more_requests_than_there_is_room_for() -> None:
    async with serving({"max_requests": 1}) as running, channel(running) as wire:
        running.engine.gate.clear()
        first = asyncio.create_task(call(wire, "ModelInfer", infer()))
        await until(lambda: running.server.statistics().open)
        assert await code(wire, "ModelInfer", infer()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await call(wire, "ServerLive")).live
        running.engine.gate.set()
        await first


async def test_the_repository() -> None:
    async with serving() as running, channel(running) as wire:
        await call(wire, "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="second"))
        index = await call(wire, "RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
        assert [(m.name, m.version, m.state) for m in index.models] == [
            (CARD.name, "1", "READY"),
            ("second", "1", "READY"),
        ]
        await call(wire, "ModelInfer", infer(model_name="second"))
        await call(wire, "RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="second"))
        index = await call(wire, "RepositoryIndex")
        assert [(m.name, m.state, m.reason) for m in index.models[1:]] == [
            ("second", "UNAVAILABLE", "unloaded"),
            ("broken", "UNAVAILABLE", "not loaded"),
        ]
        files = {"file:1/model.onnx": pb.ModelRepositoryParameter(bytes_param=b"x")}
        smuggled = pb.RepositoryModelLoadRequest(model_name="second", parameters=files)
        assert await code(wire, "RepositoryModelLoad", smuggled) is INVALID
        unknown = pb.RepositoryModelLoadRequest(model_name="/etc/x.onnx")
        assert await code(wire, "RepositoryModelLoad", unknown) is grpc.StatusCode.NOT_FOUND


async def test_shared_memory_is_off_unless_asked_for() -> None:
    register = pb.SystemSharedMemoryRegisterRequest(name="in", key="/seg", byte_size=1)
    async with serving() as running, channel(running) as wire:
        assert await code(wire, "SystemSharedMemoryRegister", register) is grpc.StatusCode.UNIMPLEMENTED


async def test_tensors_in_shared_memory(tmp_path: Path) -> None:
    segment = tmp_path / "seg"
    segment.write_bytes(planes() + bytes(200))
    place = {
        "shared_memory_region": pb.InferParameter(string_param="in"),
        "shared_memory_byte_size": pb.InferParameter(int64_param=768),
    }
    asked = infer(raw=[colors().tobytes()])
    for key, value in place.items():
        asked.inputs[0].parameters[key].CopyFrom(value)
    output = asked.outputs.add(name="detections")
    output.parameters["shared_memory_region"].string_param = "in"
    output.parameters["shared_memory_byte_size"].int64_param = 128
    output.parameters["shared_memory_offset"].int64_param = 800
    region = pb.SystemSharedMemoryRegisterRequest(name="in", key="/seg", byte_size=968)
    async with serving({"shared_memory": True}, shm=tmp_path) as running, channel(running) as wire:
        assert await code(wire, "ModelInfer", asked) is grpc.StatusCode.NOT_FOUND
        await call(wire, "SystemSharedMemoryRegister", region)
        answer = await call(wire, "ModelInfer", asked)
        assert answer.raw_output_contents == []
        assert answer.outputs[0].parameters["shared_memory_byte_size"].int64_param == 96
        rows = np.frombuffer(segment.read_bytes()[800:896], np.float32).reshape(4, 6)
        assert rows.tolist() == one_box().tolist()
        status = await call(wire, "SystemSharedMemoryStatus")
        assert [(k, r.key, r.byte_size) for k, r in status.regions.items()] == [("in", "/seg", 968)]
        await call(wire, "SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="in"))
        assert await code(wire, "ModelInfer", asked) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("token", ["open sesame", "open sesamf", None])
async def test_token(token: str | None) -> None:
    async with serving({"grpc": {"port": 0, "token": "open sesame"}}) as running, channel(running) as wire:
        assert (await call(wire, "ServerLive")).live, "probes need none"
        if token == "open sesame":
            await call(wire, "ModelInfer", infer(), token=token)
        else:
            for name in ("ModelInfer", "ServerMetadata", "RepositoryModelUnload"):
                assert await code(wire, name, token=token) is grpc.StatusCode.UNAUTHENTICATED


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls")
    tls = {"cert_file": made.server_cert, "key_file": made.server_key, "client_ca_file": made.ca}
    ca = made.ca.read_bytes()
    ours = grpc.ssl_channel_credentials(ca, made.client_key.read_bytes(), made.client_cert.read_bytes())
    async with serving({"grpc": {"port": 0, "tls": tls}}) as running:
        assert running.server.rpc
        target = f"localhost:{running.server.rpc.port}"
        async with grpc.aio.secure_channel(target, ours) as wire:
            await call(wire, "ModelInfer", infer())
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca)) as wire:
            assert await code(wire, "ServerLive") is grpc.StatusCode.UNAVAILABLE


async def test_a_taken_port_is_tried_again() -> None:
    """And never shared with another process without a word."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, told = taken.getsockname()[1], list[tuple[str, str]]()
        starting = asyncio.create_task(_served_on(port, told))
        await until(lambda: told)
        assert not starting.done()
    assert await starting == port
    assert (told[0][0], told[-1]) == ("refused", ("listening", f"grpc port {port}"))
    assert f"cannot listen on 127.0.0.1:{port}" in told[0][1]


async def _served_on(port: int, told: list[tuple[str, str]]) -> int | None:
    async with serving(
        {"grpc": {"port": port}, "retry_s": 0.01}, told=lambda state, text: told.append((state, text))
    ) as running:
        assert running.server.rpc
        return running.server.rpc.port
