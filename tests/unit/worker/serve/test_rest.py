"""The HTTP wire, with a real server and a client on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from pipelines.card import METADATA_KEY, from_json
from pipelines.worker.serve.rest_form import LENGTH_HEADER
from tests.fakes.lane import CARD, one_box
from tests.servers.certificate import make_certificates
from tests.unit.worker.serve.running import PLANES_SHAPE, Running, colors, planes, serving, until

INFER = f"/v2/models/{CARD.name}/infer"


@asynccontextmanager
async def client(
    options: dict[str, object] | None = None, shm: Path = Path("/nowhere")
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    async with serving({"grpc": None, "rest": {"port": 0}} | (options or {}), shm=shm) as running:
        assert running.server.rest
        async with aiohttp.ClientSession(f"http://127.0.0.1:{running.server.rest.port}") as session:
            yield running, session


async def post(session: aiohttp.ClientSession, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
    async with session.post(path, json=body, **more) as response:
        return response.status, await response.json()


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        return response.status, await response.json()


def body(**more: object) -> dict[str, Any]:
    inputs = [
        {"name": "planes", "datatype": "UINT8", "shape": [1, *PLANES_SHAPE], "data": list(planes())},
        {"name": "color", "datatype": "FP32", "shape": [1, 3, 4], "data": colors().tolist()},
    ]
    return {"id": "9", "inputs": inputs} | more


def binary_body(**more: object) -> tuple[bytes, dict[str, str]]:
    tensors = [planes(), colors().tobytes()]
    document = body(**more)
    for one, data in zip(document["inputs"], tensors, strict=True):
        del one["data"]
        one["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(document).encode()
    return head + b"".join(tensors), {LENGTH_HEADER: str(len(head))}


async def test_health_and_metadata() -> None:
    async with client() as (running, session):
        assert await get(session, "/v2/health/live") == (200, {"live": True})
        assert await get(session, "/v2/health/ready") == (200, {"ready": True})
        assert await get(session, f"/v2/models/{CARD.name}/ready") == (200, {"name": CARD.name, "ready": True})
        assert (await get(session, "/v2/models/second/versions/1/ready"))[0] == 503
        assert (await get(session, "/v2"))[1]["name"] == "framegate"
        _, model = await get(session, f"/v2/models/{CARD.name}")
        assert model["inputs"][0] == {"name": "planes", "datatype": "UINT8", "shape": [-1, 24, 32]}
        assert from_json(model["properties"][METADATA_KEY]) == CARD
        _, config = await get(session, f"/v2/models/{CARD.name}/config")
        assert config["output"] == [{"name": "detections", "data_type": "TYPE_FP32", "dims": [4, 6]}]
        running.server.drain()
        assert (await get(session, "/v2/health/ready"))[0] == 503
        assert (await post(session, INFER, body()))[0] == 503


async def test_inference_in_json() -> None:
    async with client() as (_, session):
        status, answer = await post(session, INFER, body())
        assert status == 200
        assert (answer["model_name"], answer["model_version"], answer["id"]) == (CARD.name, "1", "9")
        (output,) = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("detections", "FP32", [1, 4, 6])
        assert output["data"] == one_box().ravel().tolist()


@pytest.mark.parametrize("outputs", [[], [{"name": "detections", "parameters": {"binary_data": True}}]])
async def test_inference_in_binary(outputs: list[object]) -> None:
    data, headers = binary_body(parameters={} if outputs else {"binary_data_output": True}, outputs=outputs)
    async with client() as (_, session), session.post(INFER, data=data, headers=headers) as response:
        raw = await response.read()
        head = int(response.headers[LENGTH_HEADER])
        (output,) = json.loads(raw[:head])["outputs"]
        assert output["parameters"] == {"binary_data_size": 96}
        assert np.frombuffer(raw[head:], np.float32).reshape(4, 6).tolist() == one_box().tolist()


@pytest.mark.parametrize(
    ("path", "change", "status", "says"),
    [
        ("/v2/models/nobody/infer", {}, 404, "no model 'nobody'"),
        (f"/v2/models/{CARD.name}/versions/2/infer", {}, 404, "no version 2"),
        ("/v2/models/second/infer", {}, 503, "not loaded"),
        (INFER, {"inputs": []}, 400, "wants the inputs"),
        (INFER, {"inputs": None}, 400, "not a JSON array"),
        (INFER, {"inputs": [1]}, 400, "not a JSON object"),
        (INFER, {"parameters": {"timeout": "soon"}}, 400, "whole number"),
        (INFER, {"parameters": {"priority": -1}}, 400, "whole number"),
        (INFER, {"outputs": [{"name": "boxes"}]}, 400, "has the output detections"),
        ("/v2/nothing", {}, 404, "Not Found"),
    ],
)
async def test_refusals(path: str, change: dict[str, object], status: int, says: str) -> None:
    async with client() as (_, session):
        got, answer = await post(session, path, body(**change))
        assert (got, says in answer["error"]) == (status, True), answer


@pytest.mark.parametrize(
    "wrong",
    [
        {"datatype": "INT8"},
        {"data": [256] * 768},
        {"data": [-1] * 768},
        {"data": [0.5] * 768},
        {"data": ["a"] * 768},
        {"data": [[1], [2, 3]]},
        {"data": [1]},
        {"data": None},
        {"shape": [1, 24, "32"]},
        {"parameters": {"binary_data_size": 5}},
        {"parameters": {"binary_data_size": True}},
        {"parameters": {"shared_memory_region": "in"}},
    ],
)
async def test_tensors_that_are_none(wrong: dict[str, object]) -> None:
    document = body()
    document["inputs"][0] |= wrong
    async with client() as (_, session):
        assert (await post(session, INFER, document))[0] in (400, 501)


@pytest.mark.parametrize("length", ["0", "99999", "-1", "x"])
async def test_a_wrong_length_of_the_header(length: str) -> None:
    data, _ = binary_body()
    async with client() as (_, session), session.post(INFER, data=data, headers={LENGTH_HEADER: length}) as response:
        assert response.status == 400


async def test_bytes_that_belong_to_no_tensor() -> None:
    data, headers = binary_body()
    async with client() as (_, session), session.post(INFER, data=data + b"x", headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (400, "1 bytes after the last binary tensor")


async def test_a_deadline_that_passes() -> None:
    async with client() as (running, session):
        running.engine.gate.clear()
        first = asyncio.create_task(post(session, INFER, body()))
        await until(lambda: running.loop.in_hand)
        late = asyncio.create_task(post(session, INFER, body(parameters={"timeout": 1000})))
        await until(lambda: running.loop.in_hand == 2 or late.done())
        await asyncio.sleep(0.002)  # for the deadline to pass
        running.engine.gate.set()
        assert (await late)[0] == 504
        assert (await first)[0] == 200


async def test_bounds() -> None:
    async with client({"max_message_bytes": 4096, "max_requests": 1}) as (running, session):
        big, headers = binary_body()
        async with session.post(INFER, data=big + bytes(4096), headers=headers) as response:
            assert response.status == 413
        running.engine.gate.clear()
        first = asyncio.create_task(post(session, INFER, body()))
        await until(lambda: running.server.statistics().open)
        assert (await post(session, INFER, body()))[0] == 429
        running.engine.gate.set()
        assert (await first)[0] == 200


async def test_a_client_that_hangs_up_leaves_nothing_behind() -> None:
    async with client() as (running, session):
        running.engine.gate.clear()
        gone = asyncio.create_task(post(session, INFER, body()))
        await until(lambda: running.server.statistics().open)
        gone.cancel()
        await until(lambda: running.server.statistics().open == 0)
        running.engine.gate.set()
        assert (await post(session, INFER, body()))[0] == 200


async def test_the_repository() -> None:
    async with client() as (_, session):
        assert await post(session, "/v2/repository/models/second/load", {}) == (200, {})
        status, index = await post(session, "/v2/repository/index", {"ready": True})
        assert (status, [(m["name"], m["state"]) for m in index]) == (200, [(CARD.name, "READY"), ("second", "READY")])
        smuggled = {"parameters": {"config": "{}"}}
        assert (await post(session, "/v2/repository/models/second/load", smuggled))[0] == 400
        assert await post(session, "/v2/repository/models/second/unload") == (200, {})
        assert len((await post(session, "/v2/repository/index"))[1]) == 3
        assert (await post(session, "/v2/repository/models/nobody/load"))[0] == 404
        assert (await post(session, "/v2/repository/index", [1]))[0] == 400


async def test_tensors_in_shared_memory(tmp_path: Path) -> None:
    segment = tmp_path / "seg"
    segment.write_bytes(planes() + bytes(200))
    place = {"shared_memory_region": "in", "shared_memory_byte_size": 96, "shared_memory_offset": 800}
    document = body(outputs=[{"name": "detections", "parameters": place}])
    region = "/v2/systemsharedmemory/region/in"
    async with client({"shared_memory": True}, shm=tmp_path) as (_, session):
        assert (await post(session, f"{region}/register", {"key": "/seg", "byte_size": "9"}))[0] == 400
        assert (await post(session, f"{region}/register", {"key": "/seg", "byte_size": 968}))[0] == 200
        assert (await post(session, INFER, document))[1]["outputs"][0]["parameters"] == place
        assert np.frombuffer(segment.read_bytes()[800:896], np.float32).tolist() == one_box().ravel().tolist()
        assert (await get(session, "/v2/systemsharedmemory/status"))[1][0]["name"] == "in"
        assert (await post(session, f"{region}/unregister"))[0] == 200
        assert (await get(session, f"{region}/status"))[0] == 404


@pytest.mark.parametrize(("token", "status"), [("open sesame", 200), ("open sesamf", 401), (None, 401)])
async def test_token(token: str | None, status: int) -> None:
    async with client({"rest": {"port": 0, "token": "open sesame"}}) as (_, session):
        assert (await get(session, "/v2/health/ready"))[0] == 200
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        assert (await post(session, INFER, body(), headers=headers))[0] == status
        assert (await post(session, "/v2/health/../repository/index", headers=headers))[0] == status


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls")
    tls = {"cert_file": made.server_cert, "key_file": made.server_key, "client_ca_file": made.ca}
    context = ssl.create_default_context(cafile=str(made.ca))
    async with client({"rest": {"port": 0, "tls": tls}}) as (running, session):
        assert running.server.rest
        url = f"https://localhost:{running.server.rest.port}/v2/health/live"
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as other, other.get(url, ssl=context):
                pass
        context.load_cert_chain(made.client_cert, made.client_key)
        async with aiohttp.ClientSession() as other, other.get(url, ssl=context) as response:
            assert response.status == 200
        assert session
